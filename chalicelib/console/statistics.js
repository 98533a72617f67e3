// Loads the statistics that Overview shows, while the page is visible.

import { call } from "./actions.js";
import { requestedPause } from "./api.js";
import { isClockKnown, serverNow } from "./clock.js";
import { failureReason } from "./inspection.js";
import { changed, state } from "./state.js";
import { text } from "./texts.js";

/** The sweep updates the statistics once a minute. */
const SWEEP_INTERVAL = 60_000;
/** Allowance for the duration of a sweep, which varies. */
const SWEEP_DELAY = 2_000;
const FIRST_PAUSE = 5_000;
const MAX_LATE_PAUSE = 60_000;
const MAX_FAILED_PAUSE = 300_000;
/** Maximum random time added to each pause, so that consoles do not all send their requests at once. */
const SPREAD = 3_000;
/** Time in ms after which a load is considered slow. */
const SLOW_STATISTICS = 300;

/**
 * Load the statistics whenever the sweep has probably updated them, except while the page is hidden; return a function
 * that stops the updates.
 */
export function refreshStatistics() {
  const { statistics } = state;
  let timer = 0;
  /** Number of requests since the statistics last changed. */
  let attempts = 0;
  let isLoading = false;
  let isStopped = false;

  async function load() {
    clearTimeout(timer);
    if (isStopped || isLoading || document.visibilityState !== "visible") {
      return;
    }
    isLoading = true;
    Object.assign(statistics, { isLoading, isSlow: false });
    setTimeout(() => {
      statistics.isSlow = true;
      changed();
    }, SLOW_STATISTICS);
    const response = await call("GET", "statistics").catch(() => undefined);
    isLoading = false;
    statistics.isLoading = false;
    if (response !== null) {
      const previousUpdate = statistics.shown?.updated_at;
      receiveStatistics(statistics, response);
      attempts = statistics.shown?.updated_at === previousUpdate ? attempts + 1 : 0;
      const maximum = statistics.problem ? MAX_FAILED_PAUSE : MAX_LATE_PAUSE;
      const pause = Math.max(requestedPause(response), Math.min(maximum, FIRST_PAUSE * 2 ** attempts), untilUpdate(statistics));
      statistics.nextAt = performance.now() + pause + SPREAD * Math.random();
    }
    // Even if the session has ended (the response is null), schedule the next load, because another tab's token may continue the session.
    schedule();
    changed();
  }

  /** Load when the pause is over. */
  function schedule() {
    clearTimeout(timer);
    if (!isStopped) {
      timer = setTimeout(load, Math.max(0, statistics.nextAt - performance.now()));
    }
  }

  statistics.load = load;
  document.addEventListener("visibilitychange", schedule);
  schedule();
  return () => {
    isStopped = true;
    clearTimeout(timer);
    document.removeEventListener("visibilitychange", schedule);
  };
}

/** Return the time in ms until the sweep has probably updated the statistics. */
function untilUpdate({ shown }) {
  const updatedAt = Date.parse(shown?.updated_at);
  return isClockKnown() && updatedAt ? updatedAt + SWEEP_INTERVAL + SWEEP_DELAY - serverNow() : 0;
}

/** Show the statistics. If they cannot be loaded, show the reason and the last values, but hide the values if access is forbidden. */
function receiveStatistics(statistics, response) {
  if (response?.status === 200 && Array.isArray(response.body?.hours)) {
    Object.assign(statistics, { shown: response.body, problem: null });
  } else if (response?.body?.Code === "ForbiddenError") {
    Object.assign(statistics, { shown: null, problem: () => text("forbidden") });
  } else {
    statistics.problem = () => failureReason(response);
  }
}
