// The simulator's REST API, the same that Twilio's libraries call: the page has no other way in.

let authorization = null;

async function credentials() {
  if (!authorization) {
    const answer = await fetch("/simulator");
    if (!answer.ok) throw new Error(`The simulator answers ${answer.status}.`);
    const about = await answer.json();
    authorization = `Basic ${btoa(`${about.account_sid}:${about.auth_token}`)}`;
  }
  return authorization;
}

async function send(path, headers, body) {
  let answer;
  try {
    answer = await fetch(path, { method: "POST", headers: await headers(), body, credentials: "omit" });
  } catch (error) {
    if (error instanceof TypeError) throw new Error("The simulator cannot be reached.");
    throw error;
  }
  const content = await answer.json().catch(() => ({}));
  if (!answer.ok) throw new Error(refusal(answer.status, content));
  return content;
}

function refusal(status, content) {
  const code = content.code ? ` (error ${content.code})` : "";
  return `${content.message ?? `The simulator answers ${status}.`}${code}`;
}

/** POSTs a form under /v1/Workspaces; the answer's JSON, or an Error with Twilio's sentence. */
export function post(workspace, path, form) {
  return send(
    `/v1/Workspaces/${workspace}/${path}`,
    async () => ({ Authorization: await credentials() }),
    new URLSearchParams(form),
  );
}

/** Puts the simulator's clock forward, which fires what falls due on the way. */
export function advance(seconds) {
  return send(
    "/simulator/clock",
    async () => ({ "Content-Type": "application/json" }),
    JSON.stringify({ advance: seconds }),
  );
}
