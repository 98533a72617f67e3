// Loads the Reservations of the past that History lists.

import { call } from "./actions.js";
import { serverNow } from "./clock.js";
import { drafts, keepDraft } from "./session.js";
import { changed, state } from "./state.js";
import { text } from "./texts.js";

const PAGE = 50;
/** A page may contain few Reservations, or none, although more follow: load some pages at once. */
const ENOUGH = 20;
const MAX_REQUESTS = 5;
const NOTICEABLE = 300;

const HOUR = 3_600_000;
/** Lengths of the times that the user can choose, from now. */
export const PERIODS = { hour: HOUR, day: 24 * HOUR, week: 7 * 24 * HOUR, all: Infinity };

export const historyStatus = () => drafts.status ?? "";

export const historyPeriod = () => drafts.period ?? "day";

/** Choose a status or a time, and load the list for it. */
export function chooseHistory(name, value) {
  keepDraft(name, value);
  Object.assign(state.history, { rows: [], cursor: null, selected: null });
  loadHistory();
}

/** Load the list again, or more of it. */
export async function loadHistory(loading = "list") {
  const { history } = state;
  const query = {};
  const isMore = loading === "more";
  if (!isMore) {
    const start = Math.max(0, serverNow() - PERIODS[historyPeriod()]);
    history.since = new Date(start).toISOString();
  }
  Object.assign(history, { query, loading, isSlow: false, problem: null });
  setTimeout(() => {
    history.isSlow = history.query === query;
    changed();
  }, NOTICEABLE);
  changed();
  const loaded = await loadPages(isMore ? history : { rows: [], cursor: null });
  if (history.query === query) {
    Object.assign(history, { ...loaded, loading: "", query: null, loadedAt: serverNow() });
    changed();
  }
}

/** Load pages until there are enough new rows; return {rows, cursor, problem}. */
async function loadPages({ rows, cursor }) {
  const enough = rows.length + ENOUGH;
  const bySid = new Map(rows.map((each) => [each.reservation_sid, each]));
  for (let requests = 0; requests < MAX_REQUESTS && bySid.size < enough; requests += 1) {
    const response = await call("GET", `reservations?${parametersOf(cursor)}`).catch(() => null);
    if (response?.status !== 200) {
      const reason = response?.body?.Message;
      const problem = () => (reason ? text("problemOther", { reason }) : text("notLoaded"));
      return { rows: [...bySid.values()], cursor, problem };
    }
    response.body.reservations.forEach((each) => bySid.set(each.reservation_sid, each));
    cursor = response.body.next_cursor;
    if (!cursor) {
      break;
    }
  }
  return { rows: [...bySid.values()], cursor, problem: null };
}

function parametersOf(cursor) {
  const parameters = { since: state.history.since, limit: PAGE };
  const chosen = { status: historyStatus(), cursor };
  return new URLSearchParams([
    ...Object.entries(parameters),
    ...Object.entries(chosen).filter(([, value]) => value),
  ]);
}
