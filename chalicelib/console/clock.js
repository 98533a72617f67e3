// The server's clock. Countdowns do not depend on the clock of the user's computer.

/** Maximum difference in ms that is ignored. Such differences are caused by network delays, and would only make countdowns jump. */
const TOLERANCE = 400;
/** Maximum round trip in ms: polls time out after this time. A longer round trip means that the computer slept or its clock changed. */
const MAX_ROUND_TRIP = 10_000;

/** Maximum time in ms for which a list waits for the server's clock. The list is then requested anyway, because that request may succeed even if polls fail. */
const MAX_CLOCK_WAIT = 5000;

let offset = 0;
/** Maximum error of the offset in ms. Infinity means that the offset is not known. */
let offsetError = Infinity;
/** The functions that resolve the promises of the lists that wait for the clock. */
let waiting = [];

export const serverNow = () => Date.now() + offset;

/** Return whether the server's clock is known. Until it is, `serverNow` uses the last known offset or, initially, the computer's clock. Both may be wrong by hours. */
export const isClockKnown = () => offsetError < Infinity;

/** Return a promise that resolves when the server's clock is known, or after MAX_CLOCK_WAIT. */
export const clockKnown = () =>
  new Promise((resolve) => {
    if (isClockKnown()) {
      resolve();
    } else {
      waiting.push(resolve);
      setTimeout(resolve, MAX_CLOCK_WAIT);
    }
  });

/** Return {offset, offsetError} in ms: the server's time minus the computer's time, or null if it is not known, and the maximum error. */
export const clockOffset = () => ({ offset: isClockKnown() ? offset : null, offsetError });

/** Treat the offset as unknown until the next response, because it is wrong if the computer has slept or its clock has changed. */
export function forgetClock() {
  offsetError = Infinity;
}

/**
 * Set the offset if it is not known, or if the new value differs by more than TOLERANCE. If the new value is not more
 * precise, its error is added to TOLERANCE. A slow response therefore does not replace a precise offset. Tabs with an
 * earlier version of the page may omit the error, which then defaults to 0.
 */
export function setClockOffset(milliseconds, error = 0) {
  if (milliseconds === null) {
    return;
  }
  const difference = Math.abs(milliseconds - offset);
  if (!isClockKnown() || difference > TOLERANCE + (error < offsetError ? 0 : error)) {
    offset = milliseconds;
    offsetError = error;
    waiting.forEach((resolve) => resolve());
    waiting = [];
  } else {
    offsetError = Math.min(offsetError, difference + error);
  }
}

/** Set the clock from the Server-Time header of a response. */
export function readServerTime({ headers, sentAt, receivedAt }) {
  const time = Number(headers.get("Server-Time"));
  const roundTrip = receivedAt - sentAt;
  if (time && roundTrip >= 0 && roundTrip <= MAX_ROUND_TRIP) {
    // The server read its clock at some time between the request and the response.
    setClockOffset(time - (sentAt + receivedAt) / 2, roundTrip / 2);
  }
}
