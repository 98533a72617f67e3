// Requests to the API. The page and the API share an origin and, on AWS, the stage's path.

/** The URL of the API. This code is served from console/VERSION/console.js below that URL. */
export const ROOT = new URL("../../", import.meta.url);

export const VERSION = import.meta.url.split("/").at(-2);

/** Maximum time in ms that the browser waits for a response. API Gateway waits at most 29 s for a response. */
const REQUEST_TIMEOUT = 35_000;

/** Thrown if no complete response arrives, or if the body is not JSON. It is then unknown whether the service received the request. */
export class NoResponse extends Error {}

/**
 * Send a request.
 *
 * Return {status, body, headers, sentAt, receivedAt}; the body is null if it is empty.
 * Throw NoResponse if no complete response arrives, or if the body is not JSON.
 */
export async function request(method, path, { token, parameters, headers, timeout = REQUEST_TIMEOUT }) {
  const sentAt = Date.now();
  try {
    const response = await fetch(new URL(path, ROOT), {
      method,
      headers: {
        ...(token && { Authorization: `Bearer ${token}` }),
        ...(parameters && { "Content-Type": "application/json" }),
        ...headers,
      },
      body: parameters && JSON.stringify(parameters),
      cache: "no-store",
      credentials: "same-origin",
      signal: AbortSignal.timeout(timeout),
    });
    const receivedAt = Date.now();
    const text = await response.text();
    const body = text ? parseJson(text) : null;
    return { status: response.status, body, headers: response.headers, sentAt, receivedAt };
  } catch (error) {
    throw new NoResponse(String(error));
  }
}

/** Maximum pause in seconds, before jitter, between two attempts to get a response. */
const MAX_PAUSE = 30;

/** Return the milliseconds to wait before a failed request is repeated. Jitter spreads the retries of many users at the start of a shift. */
export const pauseBefore = (response, failures) =>
  Math.max(1000 * Math.min(MAX_PAUSE, 2 ** failures) * (1 + Math.random()), requestedPause(response));

/** The start of a number that JavaScript may round. SIDs do not match, because their digits follow letters. */
const MANY_DIGITS = /[\s:,[-]\d{16}/;
const INTEGER = /^-?\d+$/;

// Without this method, JSON.stringify throws an error for a BigInt.
BigInt.prototype.toJSON = function () {
  return JSON.rawJSON(this);
};

/** Parse JSON. If the browser has JSON.rawJSON, integers that a JavaScript number cannot represent exactly, such as account numbers in a Task, become BigInts. */
function parseJson(json) {
  if (!JSON.rawJSON || !MANY_DIGITS.test(json)) {
    return JSON.parse(json);
  }
  return JSON.parse(json, (_, value, { source }) =>
    typeof value === "number" && !Number.isSafeInteger(value) && INTEGER.test(source) ? BigInt(source) : value,
  );
}

/** Limit, in seconds, for the pause that a response requests. TaskRouter may request a pause of a day, and a proxy a pause of an hour. */
const MAX_REQUESTED_PAUSE = 60;

/** Return the pause in ms that a response requests. The pause is 0 if no response arrived or the response requests none. */
export const requestedPause = (response) => (response?.headers ? 1000 * Math.min(MAX_REQUESTED_PAUSE, retryAfter(response, 0)) : 0);

/** Return the seconds in Retry-After, or the default if the header is missing or contains a date. */
export function retryAfter(response, defaultSeconds) {
  const value = Number.parseInt(response.headers.get("Retry-After") ?? "", 10);
  return Number.isNaN(value) ? defaultSeconds : value;
}
