// Loads the statistics that Overview shows, for as long as the user sees them.

import { call } from "./actions.js";
import { retryAfter } from "./api.js";
import { changed, state } from "./state.js";
import { text } from "./texts.js";

/** The sweep writes new statistics once a minute. */
const STATISTICS_PAUSE = 20_000;
const MAX_STATISTICS_PAUSE = 300_000;
/** Pauses vary by up to this share, so that consoles do not send their requests at the same time. */
const SPREAD = 0.2;
const NOTICED = 300;

/** Load the statistics now and after each pause, except while the page is hidden; return a function that stops. */
export function keepStatistics() {
  const { statistics } = state;
  let timer = 0;
  let failures = 0;
  let isStopped = false;

  async function load() {
    clearTimeout(timer);
    if (isStopped || statistics.isLoading || document.visibilityState !== "visible") {
      return;
    }
    Object.assign(statistics, { isLoading: true, isSlow: false });
    setTimeout(() => {
      statistics.isSlow = true;
      changed();
    }, NOTICED);
    const response = await call("GET", "statistics").catch(() => undefined);
    statistics.isLoading = false;
    if (response !== null) {
      receiveStatistics(statistics, response);
      failures = statistics.problem ? failures + 1 : 0;
      const backoff = STATISTICS_PAUSE * 2 ** Math.max(0, failures - 1);
      const asked = response ? retryAfter(response, 0) * 1000 : 0;
      const pause = Math.max(asked, Math.min(MAX_STATISTICS_PAUSE, backoff)) * (1 + SPREAD * Math.random());
      statistics.nextAt = Date.now() + pause;
      plan();
    }
    changed();
  }

  /** Load when the pause is over. */
  function plan() {
    clearTimeout(timer);
    if (!isStopped) {
      timer = setTimeout(load, Math.max(0, statistics.nextAt - Date.now()));
    }
  }

  statistics.load = load;
  document.addEventListener("visibilitychange", plan);
  plan();
  return () => {
    isStopped = true;
    clearTimeout(timer);
    document.removeEventListener("visibilitychange", plan);
  };
}

/** Show the statistics. If they can't be loaded, show the reason and keep the last values. */
function receiveStatistics(statistics, response) {
  if (response?.status === 200 && Array.isArray(response.body?.hours)) {
    Object.assign(statistics, { shown: response.body, problem: null });
  } else if (response?.status === 403) {
    Object.assign(statistics, { shown: null, problem: () => text("forbidden") });
  } else {
    const reason = response?.body?.Message;
    statistics.problem = () => (reason ? text("problemOther", { reason }) : text("notLoaded"));
  }
}
