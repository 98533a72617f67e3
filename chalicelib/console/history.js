// Loads the Reservations that History lists.

import { call } from "./actions.js";
import { clockKnown, serverNow } from "./clock.js";
import { failureReason } from "./inspection.js";
import { drafts, storeDraft } from "./session.js";
import { changed, state } from "./state.js";

const PAGE = 50;
/** A page may contain only a few Reservations, or none, even if more pages follow. Pages are therefore loaded until there are enough rows. */
const ENOUGH = 20;
const MAX_REQUESTS = 5;
/** Time in ms after which a load is considered slow. */
const NOTICEABLE_DELAY = 300;

const HOUR = 3_600_000;
/** Lengths in ms of the periods that the user can choose. */
export const PERIODS = { hour: HOUR, day: 24 * HOUR, week: 7 * 24 * HOUR, all: Infinity };

export const historyStatus = () => drafts.status ?? "";

export const historyPeriod = () => drafts.period ?? "day";

/** Choose a status or a period, and load the matching list. */
export function chooseHistory(name, value) {
  storeDraft(name, value);
  Object.assign(state.history, { rows: [], cursor: null, selected: null });
  loadHistory();
}

/** Load History again, or more of it. */
export function loadHistory(loading = "list") {
  if (loading === "list" && !state.exporting?.isRunning) {
    state.exporting = null;
  }
  return loadList(state.history, loading === "list" ? loadFirstPages : loadPages, loading);
}

/** Load a list, or its next page, once the server's clock is known or MAX_CLOCK_WAIT has passed. The function `load` takes {rows, cursor}, and returns their new values. */
export async function loadList(list, load, loading) {
  const query = {};
  Object.assign(list, { query, loading, isSlow: false, problem: null });
  setTimeout(() => {
    list.isSlow = list.query === query;
    changed();
  }, NOTICEABLE_DELAY);
  changed();
  await clockKnown();
  if (list.query !== query) {
    return;
  }
  const loaded = await load(loading === "more" ? list : { rows: [], cursor: null });
  if (list.query === query) {
    Object.assign(list, { ...loaded, loading: "", query: null, loadedAt: serverNow() });
    changed();
  }
}

function loadFirstPages(list) {
  const start = Math.max(0, serverNow() - PERIODS[historyPeriod()]);
  state.history.since = new Date(start).toISOString();
  return loadPages(list);
}

/** Load pages until there are enough new rows, with at most MAX_REQUESTS requests; return {rows, cursor, problem}. */
async function loadPages({ rows, cursor }) {
  const query = historyQuery();
  const enough = rows.length + ENOUGH;
  const bySid = new Map(rows.map((each) => [each.reservation_sid, each]));
  for (let requests = 0; requests < MAX_REQUESTS && bySid.size < enough; requests += 1) {
    const response = await call("GET", `reservations?${parametersOf(query, cursor)}`).catch(() => null);
    if (response?.status !== 200) {
      return { rows: [...bySid.values()], cursor, problem: () => failureReason(response) };
    }
    response.body.reservations.forEach((each) => bySid.set(each.reservation_sid, each));
    cursor = response.body.next_cursor;
    if (!cursor) {
      break;
    }
  }
  return { rows: [...bySid.values()], cursor, problem: null };
}

/** Return the start time and the status that determine the list. */
export const historyQuery = () => ({ since: state.history.since, status: historyStatus() });

export const parametersOf = ({ since, status }, cursor, limit = PAGE) =>
  new URLSearchParams(Object.entries({ since, limit, status, cursor }).filter(([, value]) => value));
