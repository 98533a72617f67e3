// Updates resources through the REST API, and advances the clock through /simulator/clock.

let authorization = null;

async function authorizationHeader() {
  if (!authorization) {
    const response = await fetch("/simulator");
    if (!response.ok) throw new Error(`The simulator returned ${response.status}.`);
    const { account_sid: user, auth_token: password } = await response.json();
    authorization = `Basic ${btoa(`${user}:${password}`)}`;
  }
  return authorization;
}

async function send(path, makeHeaders, body) {
  let response;
  try {
    response = await fetch(path, { method: "POST", headers: await makeHeaders(), body, credentials: "omit" });
  } catch (error) {
    if (error instanceof TypeError) throw new Error("The simulator cannot be reached.");
    throw error;
  }
  const content = await response.json().catch(() => ({}));
  if (!response.ok) throw new Error(errorMessage(response.status, content));
  return content;
}

function errorMessage(status, content) {
  const code = content.code ? ` (error ${content.code})` : "";
  return `${content.message ?? `The simulator returned ${status}.`}${code}`;
}

/** Posts a form to a path in a Workspace. Returns the parsed JSON or throws an Error with the API's message. */
export function post(workspaceSid, path, form) {
  return send(
    `/v1/Workspaces/${workspaceSid}/${path}`,
    async () => ({ Authorization: await authorizationHeader() }),
    new URLSearchParams(form),
  );
}

/** Advances the simulator's clock and runs all timers that become due. */
export function advance(seconds) {
  return send(
    "/simulator/clock",
    async () => ({ "Content-Type": "application/json" }),
    JSON.stringify({ advance: seconds }),
  );
}
