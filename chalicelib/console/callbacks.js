// Searches the callback log with the filter in the page's address.

import { call } from "./actions.js";
import { pauseBefore } from "./api.js";
import { serverNow } from "./clock.js";
import { isTemporary, MAX_RETRIES } from "./csv.js";
import { loadList, PERIODS } from "./history.js";
import { failureReason } from "./inspection.js";
import { drafts } from "./session.js";
import { changed, state } from "./state.js";
import { isUnfinished } from "./timeline.js";

const PARAMETERS = { WR: "reservation_sid", WT: "task_sid", WK: "worker_sid" };
const LOG_PAGE = 50;
const MINUTE = 60_000;
/** Callbacks may arrive before the recorded start of a Reservation, or after its recorded end. */
const EARLY_MARGIN = 5 * MINUTE;
const LATE_MARGIN = 45 * MINUTE;
const SID_FORMAT = /^(WR|WT|WK)[0-9a-f]{32}$/;

export const ROUTES = {
  __proto__: null,
  "/assignment_callback": "routeAssignment",
  "/assignment_callback/fallback": "routeFallback",
  "/event_callback": "routeEvent",
};

/** Return the filter: {sid, route, status, period, until}. Missing values and unknown routes are empty strings. The default period is a day. */
export function logFilter() {
  const chosen = new URLSearchParams(drafts.logFilter ?? "");
  const [sid, route, status, until] = ["sid", "route", "status", "until"].map((name) => chosen.get(name) ?? "");
  const period = chosen.get("period");
  return {
    sid,
    route: Object.hasOwn(ROUTES, route) ? route : "",
    status,
    until,
    period: Object.hasOwn(PERIODS, period) ? period : "day",
  };
}

/** Change the filter, and search again, even if the filter stays the same. */
export function setLogFilter(changes) {
  const filter = { ...logFilter(), ...changes };
  if (JSON.stringify(filter) === JSON.stringify(logFilter())) {
    loadCallbacks();
    return;
  }
  // The new address makes the page search.
  const chosen = Object.entries(filter).filter(([, value]) => value);
  location.hash = `/callbacks?${new URLSearchParams(chosen)}`;
}

/** Return the address of the log for a Reservation's callbacks. The period is as short as possible, because a search reads all of it. */
export function callbacksAddress(record) {
  const recorded = [record.reserved_at, record.delivery?.received_at, ...record.history.map(({ at }) => at)];
  const times = recorded.filter(Boolean).map((at) => Date.parse(at));
  const end = Math.ceil((Math.max(...times) + LATE_MARGIN) / MINUTE) * MINUTE;
  // When clocks are set back, some local times occur twice. They are interpreted as the first occurrence.
  const last = Date.parse(localTime(end)) < end ? end + PERIODS.hour : end;
  const isPast = !isUnfinished(record) && last < serverNow();
  const length = (isPast ? last : serverNow()) - Math.min(...times) + EARLY_MARGIN;
  const period = Object.keys(PERIODS).find((name) => PERIODS[name] >= length);
  return `#/callbacks?${new URLSearchParams({ sid: record.reservation_sid, period, ...(isPast && { until: localTime(last) }) })}`;
}

/** Return a time as the value of an input of the type `datetime-local`. */
const localTime = (at) => new Date(at - new Date(at).getTimezoneOffset() * MINUTE).toISOString().slice(0, 16);

/** Return, for each field that the user fills in, the key of the text that explains the mistake, or a falsy value. */
export function filterProblems({ sid, status, until }) {
  return {
    sid: sid && !SID_FORMAT.test(sid) && "sidWrong",
    status: status && !/^[1-5]\d\d$/.test(status) && "statusWrong",
    until: until && !(Date.parse(until) > 0) && "untilWrong",
  };
}

function logParameters({ sid, route, status, period, until }) {
  const end = Math.min(until ? Date.parse(until) : Infinity, serverNow());
  const since = new Date(Math.max(0, end - PERIODS[period]));
  return Object.entries({
    [PARAMETERS[sid.slice(0, 2)] ?? "sid"]: sid,
    route,
    status,
    since: period === "all" ? "" : since.toISOString(),
    until: until && new Date(end).toISOString(),
  }).filter(([, value]) => value);
}

let isSearchStopped = false;
let endSearchPause = () => {};

/** Stop the search. The callbacks that a request in progress returns are still shown. */
export function stopSearch() {
  isSearchStopped = true;
  endSearchPause();
  changed();
}

/** Return whether a search has loaded the first part of the log and is still running. */
export const isSearching = ({ loading, searchedUntil }) => Boolean(loading && searchedUntil) && !isSearchStopped;

/** Search again, or continue with older callbacks. */
export function loadCallbacks(loading = "list") {
  const { log } = state;
  endSearchPause();
  isSearchStopped = false;
  if (loading === "list") {
    const chosen = logFilter();
    Object.assign(log, { rows: [], cursor: null, searchedUntil: null, complete: true, opened: null });
    if (Object.values(filterProblems(chosen)).some(Boolean)) {
      Object.assign(log, { query: null, loading: "", problem: null, searched: null });
      changed();
      return;
    }
    log.address = drafts.logFilter;
  }
  loadList(log, loading === "list" ? searchLogFromStart : searchLog, loading);
}

function searchLogFromStart(list) {
  state.log.searched = logParameters(logFilter());
  return searchLog(list);
}

/** Search until a page is full, the search is complete or fails, or the user stops or replaces it. Show each part as it arrives. */
async function searchLog({ rows, cursor, searchedUntil }) {
  const { log } = state;
  const { query } = log;
  const enough = rows.length + LOG_PAGE;
  let found = { rows, cursor, searchedUntil, complete: false, problem: null };
  // Null until a request has succeeded. Before that, a failure ends the search.
  let failures = null;
  let hasMore = true;
  while (hasMore && log.query === query && !isSearchStopped) {
    const response = await requestPage(log, found.cursor);
    if (response?.status === 200) {
      const previous = found.cursor;
      found = addPage(found, response.body);
      hasMore = !found.complete && found.cursor && found.cursor !== previous && found.rows.length < enough;
      failures = 0;
    } else if (failures !== null && failures < MAX_RETRIES && isTemporary(response)) {
      await new Promise((resolve) => {
        endSearchPause = resolve;
        setTimeout(resolve, pauseBefore(response, failures));
      });
      failures += 1;
    } else {
      return { ...found, problem: () => failureReason(response) };
    }
    if (log.query === query) {
      Object.assign(log, found);
      changed();
    }
  }
  return found;
}

let lastPage = Promise.resolve();

/** Request a page after the previous request has ended, even if that request was part of a search that was replaced. */
function requestPage({ searched, query }, cursor) {
  const parameters = new URLSearchParams([...searched, ...(cursor ? [["cursor", cursor]] : [])]);
  const send = () => state.log.query === query && call("GET", `callbacks?limit=${LOG_PAGE}&${parameters}`).catch(() => undefined);
  lastPage = lastPage.then(send);
  return lastPage;
}

function addPage({ rows, searchedUntil: previous }, { callbacks, next_cursor: cursor, searched_until: reached, complete }) {
  // A request that continues within a time window may return a later time than the previous request. Keep the earlier time.
  const searchedUntil = previous && previous < reached ? previous : reached;
  return { rows: [...rows, ...callbacks], cursor, problem: null, searchedUntil, complete };
}
