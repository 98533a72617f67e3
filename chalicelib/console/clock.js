// The server's clock. Countdowns do not depend on the clock of the user's computer.

/** Differences below this are the network's delay, and would only make countdowns jump. */
const TOLERANCE = 400;

let offset = 0;
let isKnown = false;

export const serverNow = () => Date.now() + offset;

/** Return whether the server's clock is known. Until then, times come from the computer's clock, which may be wrong by hours. */
export const isClockKnown = () => isKnown;

export const clockOffset = () => offset;

export function setClockOffset(milliseconds) {
  if (!isKnown || Math.abs(milliseconds - offset) > TOLERANCE) {
    offset = milliseconds;
    isKnown = true;
  }
}

/** Set the clock from a response with the header Server-Time. */
export function readServerTime({ headers, sentAt, receivedAt }) {
  const time = Number(headers.get("Server-Time"));
  if (time) {
    setClockOffset(time - (sentAt + receivedAt) / 2);
  }
}
