// The server's clock. Countdowns do not depend on the clock of the user's computer.

/** Smaller differences are caused by network delays, and would only make countdowns jump. */
const TOLERANCE = 400;
/** A response that seems to take longer spans a sleep or a change of the computer's clock. Polls end after this time. */
const MAX_ROUND_TRIP = 10_000;

/** Maximum time for which a search waits for the server's clock. The polls may fail although the search would succeed. */
const MAX_CLOCK_WAIT = 5000;

let offset = 0;
let isKnown = false;
/** The functions that resolve the promises of searches that wait. */
let waiting = [];

export const serverNow = () => Date.now() + offset;

/** Return whether the server's clock is known. Until then, times come from the computer's clock, which may be wrong by hours. */
export const isClockKnown = () => isKnown;

/** Return a promise that resolves when the server's clock is known, or after MAX_CLOCK_WAIT. */
export const clockKnown = () =>
  new Promise((resolve) => {
    if (isKnown) {
      resolve();
    } else {
      waiting.push(resolve);
      setTimeout(resolve, MAX_CLOCK_WAIT);
    }
  });

/** Return the server's time minus the computer's in ms, or null if it is not known. */
export const clockOffset = () => (isKnown ? offset : null);

/** Treat the offset as unknown until the next response, because a sleep or a clock change may have made it wrong. */
export function forgetClock() {
  isKnown = false;
}

export function setClockOffset(milliseconds) {
  if (milliseconds !== null && (!isKnown || Math.abs(milliseconds - offset) > TOLERANCE)) {
    offset = milliseconds;
    isKnown = true;
    waiting.forEach((resolve) => resolve());
    waiting = [];
  }
}

/** Set the clock from a response with the header Server-Time. */
export function readServerTime({ headers, sentAt, receivedAt }) {
  const time = Number(headers.get("Server-Time"));
  const roundTrip = receivedAt - sentAt;
  if (time && roundTrip >= 0 && roundTrip <= MAX_ROUND_TRIP) {
    setClockOffset(time - (sentAt + receivedAt) / 2);
  }
}
