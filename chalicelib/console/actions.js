// What the user can do: decide about Reservations and switch the Activity.

import { NoResponse, request, retryAfter } from "./api.js";
import { announce } from "./alerts.js";
import { serverNow } from "./clock.js";
import { changeRow, endRow, ending, rowTitle } from "./inbox.js";
import { preferences } from "./preferences.js";
import { changed, isOffline, state } from "./state.js";
import { text } from "./texts.js";
import { after } from "./timer.js";

const LOOKUPS_AT_ONCE = 4;
const LOOKUP_INTERVAL = 3000;

let session = { pollNow() {}, expire() {} };

/** Set the functions that poll now, and that end the session after a refused token. */
export function useSession(functions) {
  session = functions;
}

/** Send a request with the user's token; return null if the session has ended. */
export async function call(method, path, parameters) {
  const { token } = state.session;
  const response = await request(method, path, { token, parameters });
  if (state.session?.token !== token) {
    return null;
  }
  if (response.status === 401) {
    session.expire(response);
    return null;
  }
  return response;
}

/** Return why the Reservation of a row cannot be decided now, or null. */
export function obstacle(sid) {
  const row = state.inbox.rows.get(sid);
  if (isOffline()) {
    return text("downButton");
  }
  return row?.phase === "open" && row.deadline > serverNow() ? null : text("notOpen");
}

/** Accept or reject the Reservation of a row. */
export async function decide(sid, verb, parameters = {}) {
  const row = state.inbox.rows.get(sid);
  if (obstacle(sid)) {
    return;
  }
  state.knownActivity = parameters.activity_sid ?? state.knownActivity;
  changeRow(state.inbox, sid, { phase: "deciding", verb, sentAt: serverNow(), problem: null });
  changed();
  try {
    const response = await call("POST", `reservations/${sid}/${verb}`, parameters);
    if (response) {
      settle(sid, response);
    }
  } catch (error) {
    if (!(error instanceof NoResponse)) {
      throw error;
    }
    check(sid, 3);
  }
  session.pollNow();
  changed();
}

/** Show the outcome of a request in its row. */
function settle(sid, response) {
  const { status, body } = response;
  const code = body?.Code;
  const reached = body?.reservation_status;
  if ((status === 200 || code === "ReservationNotPending") && reached !== "pending") {
    finish(sid, { ...body, status: reached }, status === 200);
  } else if (status === 410) {
    finish(sid, { status: "gone" }, true);
  } else if (status === 404) {
    lookUp(sid);
  } else if (["TaskRouterNotSent", "TaskRouterThrottled", "TooManyRequests"].includes(code)) {
    const n = retryAfter(response, 1);
    reopen(sid, () => text("problemNotSent", { n }));
  } else if (status >= 500 && status !== 502) {
    check(sid, retryAfter(response, 3));
  } else {
    state.isDenied ||= status === 502;
    reopen(sid, status === 202 ? null : () => problem(response));
  }
}

/** Return the text for a request that had no effect. */
function problem({ status, body }) {
  const keys = {
    ForbiddenError: "problemForbidden",
    TaskRouterDenied: "problemDenied",
    InstructionAlreadySent: "problemPhoneTwice",
  };
  const reason = body?.Message ?? `HTTP ${status}`;
  if (body?.Code === "ForbiddenError" && /instruction|parameter|may not/.test(reason)) {
    return text("problemOther", { reason });
  }
  if (body?.Code === "TaskRouterRefused") {
    return text("problemRefused", { reason });
  }
  return text(keys[body?.Code] ?? "problemOther", { reason });
}

function reopen(sid, reason) {
  changeRow(state.inbox, sid, { phase: "open", problem: reason });
  if (reason) {
    announce(reason());
  }
}

/** End a row. If its ending is the user's own decision, no lookup is needed. */
function finish(sid, reservation, isOwn) {
  const row = state.inbox.rows.get(sid);
  if (!row) {
    return;
  }
  if (isOwn) {
    end(sid, ending({ ...row.reservation, ...reservation }, state.inbox.principal));
  } else {
    lookUp(sid);
  }
}

function end(sid, reached) {
  const row = state.inbox.rows.get(sid);
  if (row && row.phase !== "ended") {
    endRow(state.inbox, sid, reached, serverNow());
    announce(text("announceEnding", { ending: text(reached.kind), title: rowTitle(state.inbox, row) }));
  }
}

/** The outcome is unknown: look at the Reservation's status after some seconds. */
function check(sid, seconds) {
  changeRow(state.inbox, sid, { phase: "checking", nextCheckAt: serverNow() + seconds * 1000 });
  after(seconds * 1000, session.pollNow);
}

const waiting = new Set();
let lookups = 0;

/** Find out how a Reservation ended that is no longer open. */
export function lookUp(sid) {
  changeRow(state.inbox, sid, { phase: "vanished" });
  waiting.add(sid);
  startLookups();
}

function startLookups() {
  for (const sid of waiting) {
    if (lookups >= LOOKUPS_AT_ONCE) {
      return;
    }
    waiting.delete(sid);
    lookups += 1;
    fetchEnding(sid).finally(() => {
      lookups -= 1;
      startLookups();
    });
  }
}

async function fetchEnding(sid) {
  if (!state.session || !state.inbox.rows.has(sid)) {
    return;
  }
  const response = await call("GET", `reservations/${sid}`).catch(() => ({ status: 0 }));
  if (!response || state.inbox.rows.get(sid)?.phase !== "vanished") {
    return;
  }
  if (response.status === 200 && response.body.status !== "pending") {
    end(sid, ending(response.body, state.inbox.principal));
  } else if (response.status === 404 || response.status === 403) {
    end(sid, ending({ status: "gone" }, state.inbox.principal));
  } else {
    // The record of a decision can be older than TaskRouter's answer.
    after(LOOKUP_INTERVAL, () => waiting.add(sid) && startLookups());
  }
  changed();
}

/** Complete a Reservation in progress, and its Task. */
export async function complete(sid) {
  if (isOffline() || state.completions.get(sid) === "completing") {
    return;
  }
  state.completions.set(sid, "completing");
  changed();
  const response = await call("POST", `reservations/${sid}/complete`, {}).catch(() => null);
  state.completions.delete(sid);
  if (response && response.status !== 200 && response.status !== 410) {
    state.completions.set(sid, () => problem(response));
  } else if (response) {
    const reservation = state.inbox.progress.find((each) => each.reservation_sid === sid);
    state.inbox.progress = state.inbox.progress.filter((each) => each !== reservation);
    if (reservation) {
      const row = { sid, reservation, ending: { kind: "completed", note: () => "", at: serverNow() } };
      state.inbox.ended = [row, ...state.inbox.ended];
      announce(text("announceEnding", { ending: text("completed"), title: rowTitle(state.inbox, row) }));
    }
  }
  session.pollNow();
  changed();
}

/** Read the Activities, and the Worker's own, of which an event may have been lost. */
export async function loadActivities() {
  const response = await call("GET", "activities").catch(() => null);
  if (response?.status === 200) {
    state.activities = response.body.activities;
    changed();
    session.pollNow();
  }
}

/** Ask TaskRouter to switch the Worker's Activity. The header shows the old one until it has. */
export async function switchActivity(sid) {
  if (isOffline() || state.wantedActivity) {
    changed();
    return;
  }
  Object.assign(state, { wantedActivity: sid, hasActivityFailed: false });
  changed();
  const response = await call("POST", "activity", { activity_sid: sid }).catch(() => null);
  if (!state.session) {
    return;
  }
  state.wantedActivity = null;
  if (response?.status === 200) {
    const { activity_sid, activity_name } = response.body;
    state.inbox.worker = { ...state.inbox.worker, activity_sid, activity_name };
    Object.assign(state, { activityNotice: null, knownActivity: activity_sid });
  } else {
    state.hasActivityFailed = true;
  }
  session.pollNow();
  changed();
}

/** Return the parameters of a rejection: the Activity that the user has chosen, if any. */
export function rejection() {
  const sid = preferences.activityAfterRejection;
  return state.activities.some((activity) => activity.sid === sid) ? { activity_sid: sid } : {};
}

export function openDialog(dialog) {
  state.dialog = dialog;
  changed();
}

/** Open a Reservation's record in a dialog. */
export async function inspect(sid) {
  openDialog({ kind: "inspect", sid, details: null });
  const response = await call("GET", `reservations/${sid}`).catch(() => null);
  if (state.dialog?.sid === sid) {
    openDialog({ ...state.dialog, details: response?.body ?? { Message: text("notLoaded") } });
  }
}
