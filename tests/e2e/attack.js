// Sends the given requests with fetch, forms, elements and beacons, and opens the given WebSockets. Returns one line for each response that the page could read, for each image that loaded and for each socket that opened.
async ({ requests, sockets }) => {
  const read = [];
  const addIfReadable = async (mode, url, response) => {
    if (response.type !== "opaque" && response.ok) read.push(`${mode} ${url}: ${await response.text()}`);
  };
  const within = (milliseconds, start) =>
    new Promise((resolve) => {
      setTimeout(resolve, milliseconds);
      start(resolve);
    });

  const fetched = requests.flatMap(({ url, method, headers, body }) =>
    ["cors", "no-cors", "same-origin"].map(async (mode) => {
      try {
        await addIfReadable(mode, url, await fetch(url, { method, mode, body, headers, credentials: "include", signal: AbortSignal.timeout(5000) }));
      } catch {}
    }),
  );

  const posted = requests.map(({ url, body }) =>
    within(1500, (done) => {
      const frame = document.createElement("iframe");
      frame.name = `frame${Math.random()}`;
      const form = document.createElement("form");
      Object.assign(form, { action: url, method: "POST", target: frame.name, enctype: "text/plain" });
      const field = document.createElement("input");
      [field.name, field.value] = [(body ?? "").split("=")[0], (body ?? "").split("=").slice(1).join("=")];
      form.append(field);
      document.body.append(frame, form);
      frame.onload = () => {
        try {
          const text = frame.contentDocument.body.innerText;
          if (text && !text.includes("are rejected") && !text.includes("must come from this machine")) read.push(`form ${url}: ${text}`);
        } catch {}
        if (frame.contentDocument?.URL !== "about:blank") done();
      };
      form.submit();
    }),
  );

  const embedded = requests.flatMap(({ url }) =>
    [["img", "src"], ["script", "src"], ["link", "href"], ["iframe", "src"]].map(([tag, attribute]) =>
      within(1500, (done) => {
        const element = document.createElement(tag);
        if (tag === "link") element.rel = "stylesheet";
        element.onload = () => {
          if (tag === "img") read.push(`${tag} ${url}`);
          done();
        };
        element.onerror = done;
        element[attribute] = url;
        document.body.append(element);
      }),
    ),
  );

  for (const { url, body } of requests) navigator.sendBeacon(url, body);

  const connected = sockets.map((url) =>
    within(1500, (done) => {
      const socket = new WebSocket(url);
      socket.onopen = () => read.push(`socket ${url}`);
      socket.onerror = socket.onclose = done;
    }),
  );

  const all = Promise.all([...fetched, ...posted, ...embedded, ...connected]);
  await within(10000, (done) => all.then(done));
  return read;
};
