// The state that the page shows, and the functions that render it after a change.

import { newInbox } from "./inbox.js";
import { drafts } from "./session.js";

/** The list that History shows: its rows, and the request that loads them. */
const newHistory = () => ({
  rows: [],
  cursor: null,
  /** The start of the listed period in the API's format, and the time at which the list was loaded. */
  since: "",
  loadedAt: 0,
  /** "list" or "more" while rows are being loaded, and whether loading is noticeably slow. */
  loading: "",
  isSlow: false,
  /** A function that returns why the rows could not be loaded. */
  problem: null,
  /** Identifies the latest request. Responses to earlier requests are ignored. */
  query: null,
  selected: null,
});

/** The log of callbacks: its rows, how far it was searched, and the open row. */
const newLog = () => ({
  rows: [],
  cursor: null,
  /** The parameters of the search. Null if the filter is malformed. */
  searched: null,
  searchedUntil: null,
  /** False if the search ended early because of a time limit or a failure. */
  complete: true,
  loadedAt: 0,
  loading: "",
  isSlow: false,
  problem: null,
  query: null,
  /** {index, sid} of the row that shows its details, and the outcomes of requests about its signature. */
  opened: null,
});

/** The supervisor's statistics, and the request that loads them. */
const newStatistics = () => ({
  /** The response to GET /statistics, or null. */
  shown: null,
  /** A function that returns why the last request failed, or null. */
  problem: null,
  /** When the next request begins. */
  nextAt: 0,
  isLoading: false,
  isSlow: false,
});

/** The Task that the user is about to create. The user's input is in the drafts. */
const newCreation = () => ({
  isSending: false,
  /** For each field with a mistake, a function that returns the message. */
  mistakes: {},
  /** A function that returns what went wrong with the last request, or null. */
  problem: null,
  /** SID of the created Task, and when the response arrived. */
  sid: null,
  at: 0,
});

export const state = {
  /** {token, claims} of the signed-in user, or null. */
  session: null,
  /** The token of the same user's later sign-in in another tab, or null. */
  nextToken: null,
  /** Why the sign-in page is shown: {kind, at, failure}. */
  signInPage: { kind: "" },
  /** Whether the API has an identity provider. Null until the API has responded. */
  hasProvider: null,
  /** Whether a request for `hasProvider`, or for the provider's URL, has failed. */
  isUnanswered: false,
  connection: { state: "connecting", since: 0, failures: 0, nextAt: 0 },
  updatedAt: 0,
  /** Whether this tab polls for all tabs of the user. */
  isLeader: false,
  /** Whether the first load is slow enough to show blank rows. */
  isSlow: false,
  inbox: newInbox(),
  /** SID of the selected Reservation, or null. */
  selected: null,
  /** When the page itself selected a row, as a `performance.now()` time. */
  selectedAt: -Infinity,
  /** The `performance.now()` time until which no row moves, because the pointer moved over the list. */
  heldUntil: 0,
  activities: [],
  /** When the Activities are requested again after a failure. */
  activitiesRetryAt: 0,
  /** SID of the Activity that the user has requested and TaskRouter has not confirmed. */
  wantedActivity: null,
  /** SID of the Activity that the user has requested in any tab and that the overview has not shown yet. */
  expectedActivity: null,
  /** SID of the last Activity that the user requested, was notified of or was available in. */
  knownActivity: null,
  /** When the Worker last had an offer or a Task, either of which may change the Activity. */
  workedAt: 0,
  /** The change that made the Worker unavailable, until the user dismisses the notice or is available again: {name, at, isTimeout}. */
  activityNotice: null,
  /** "failed" if the Activity was not switched, "checking" while that is unknown, or null. */
  activityProblem: null,
  /** A function that returns why the Activity was not switched, or null. */
  activityReason: null,
  isDenied: false,
  hasNewVersion: false,
  /** When a banner that may have covered a row disappeared, as a `performance.now()` time. */
  uncoveredAt: -Infinity,
  /** The open dialog: its kind and the values that it needs, such as {kind, sid}. Null if no dialog is open. */
  dialog: null,
  history: newHistory(),
  log: newLog(),
  /** The record that Inspect shows: {sid, record, loadedAt, problem, code, check, resend}, or null. */
  inspection: null,
  /** Whether the user is returning from Inspect. The lists then stay unchanged. */
  isReturning: false,
  /** {count, isRunning, result} of an export, or null. */
  exporting: null,
  statistics: newStatistics(),
  creation: newCreation(),
  /** SUPERVISOR_PAGES of supervisor.js, or null until that module is loaded, and whether loading it failed. */
  supervisor: null,
  hasSupervisorFailed: false,
};

/** The sections of the page, by the first word of the address's fragment. The object has no prototype, so words such as `constructor` have no section. */
const SECTIONS = { __proto__: null, offers: "inbox", history: "history", overview: "overview", callbacks: "callbacks", reservations: "inspect" };
/** Sections that Workers may not see. */
const SUPERVISOR_SECTIONS = new Set(["overview", "callbacks"]);

/** Return the section in a fragment such as #overview or #/overview. Links to rows lead to the Inbox. */
export const sectionOf = (fragment) => SECTIONS[/^#\/?(\w*)/.exec(fragment)?.[1]] ?? "inbox";

/** Return the section that the page shows. An address without a Reservation's SID, such as #/reservations, shows the Inbox. */
export const section = () => {
  const wanted = drafts.section ?? "inbox";
  const isHidden = wanted === "inspect" ? drafts.inspected === undefined : SUPERVISOR_SECTIONS.has(wanted) && state.session?.claims.role === "worker";
  return isHidden ? "inbox" : wanted;
};

/** Forget the user's session and data, so that none of it can be shown to the next user. */
export function resetState() {
  Object.assign(state, {
    session: null,
    nextToken: null,
    connection: { state: "connecting", since: 0, failures: 0, nextAt: 0 },
    isLeader: false,
    isSlow: false,
    inbox: newInbox(),
    selected: null,
    activities: [],
    activitiesRetryAt: 0,
    wantedActivity: null,
    knownActivity: null,
    activityNotice: null,
    expectedActivity: null,
    workedAt: 0,
    activityProblem: null,
    activityReason: null,
    isDenied: false,
    dialog: null,
    history: newHistory(),
    log: newLog(),
    inspection: null,
    exporting: null,
    statistics: newStatistics(),
    creation: newCreation(),
  });
}

let renderAll = () => {};
let isScheduled = false;

export function onChange(render) {
  renderAll = render;
}

/** Render once after all changes in this turn of the event loop. Microtasks also run in hidden pages, unlike animation frames. */
export function changed() {
  if (!isScheduled) {
    isScheduled = true;
    queueMicrotask(() => {
      isScheduled = false;
      renderAll();
    });
  }
}

const listeners = new Set();

/** Call a function every second; return a function that ends the calls. */
export function everySecond(listener) {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

export const tick = () => listeners.forEach((listener) => listener());

/** Return whether TaskRouter offers Tasks to a Worker, or null if that is unknown. */
export const isAvailable = (worker) =>
  state.activities.find(({ sid }) => sid === worker?.activity_sid)?.available ?? null;

/** Return whether the user cannot switch the Activity because the list of Activities could not be read. */
export const areActivitiesMissing = () => state.activitiesRetryAt > 0 && !state.activities.length;

export const isOffline = () => state.connection.state === "down";

/** Milliseconds without pointer movement after which rows may move under the pointer. */
const HOLD_TIME = 10_000;

/** Keep the rows in place for a few seconds. */
export const holdRows = () => (state.heldUntil = performance.now() + HOLD_TIME);

/** Let the rows move again. */
export function releaseRows() {
  state.heldUntil = 0;
  changed();
}

export const areRowsHeld = () => performance.now() < state.heldUntil;

/** Select a Reservation. `isAutomatic`: the page selected it, not the user. */
export function select(sid, { isAutomatic = false } = {}) {
  state.selectedAt = isAutomatic ? performance.now() : -Infinity;
  if (state.selected !== sid) {
    state.selected = sid;
    changed();
  }
}

export function selectHistory(sid) {
  state.history.selected = sid;
  changed();
}
