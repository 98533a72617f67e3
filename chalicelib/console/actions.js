// The user's actions on Reservations (accept, reject, complete, inspect), and lookups of how Reservations ended.

import { NoResponse, request, requestedPause, retryAfter } from "./api.js";
import { announce } from "./alerts.js";
import { serverNow } from "./clock.js";
import { changeRow, endRow, ending, isInProgress, removeRow, rowTitle, startCheck, taskEnding } from "./inbox.js";
import { changed, isOffline, state } from "./state.js";
import { text } from "./texts.js";
import { after } from "./timer.js";

const LOOKUPS_AT_ONCE = 4;
/** Pause in ms after the first failed lookup. Each further failure doubles the pause. */
const LOOKUP_WAIT = 3000;
const MAX_LOOKUP_WAIT = 60_000;

export let session = { pollNow() {}, send() {}, expire() {} };

/**
 * Set the functions that poll immediately, send a message to the user's other tabs, and end the
 * session when the API has refused the token.
 */
export function useSession(functions) {
  session = functions;
}

/** The API's error codes that mean that the user no longer has the offer. The HTTP status alone is not enough: proxies and firewalls also send 403, 404 and 410. */
export const GONE = new Set(["NotFoundError", "ForbiddenError", "ReservationGone"]);

let runningRequests = 0;

/** Return whether a request with the user's token is running. */
export const isBusy = () => runningRequests > 0;

/**
 * Send a request with the user's token; return null if the session has ended. If the API refuses the token of a POST
 * request, return the response nevertheless, because the request certainly had no effect. If the user's session has
 * received a newer token in the meantime, repeat a refused GET request with the newer token.
 */
export async function call(method, path, parameters, headers = {}) {
  const { token, claims } = state.session;
  runningRequests += 1;
  const response = await request(method, path, { token, parameters, headers }).finally(() => (runningRequests -= 1));
  const isRefused = response.status === 401 && response.body?.Code === "UnauthorizedError";
  if (isRefused && state.session?.token === token) {
    session.expire(response);
  }
  if (isRefused && method === "POST") {
    return response;
  }
  const isSameUser = state.session?.claims.owner === claims.owner;
  if (isRefused && isSameUser && state.session.token !== token) {
    return call(method, path, parameters, headers);
  }
  return isSameUser && !isRefused ? response : null;
}

/** Return the reason why a row's Reservation cannot be accepted or rejected now, or null. */
export function obstacle(sid) {
  const row = state.inbox.rows.get(sid);
  if (isOffline()) {
    return text("downButton");
  }
  return row?.phase === "open" && row.deadline > serverNow() ? null : text("notOpen");
}

/** Accept or reject the Reservation of a row. */
export async function decide(sid, verb, parameters = {}) {
  if (obstacle(sid)) {
    return;
  }
  if (parameters.activity_sid) {
    expectActivity(parameters.activity_sid);
  }
  changeRow(state.inbox, sid, { phase: "deciding", verb, sentAt: serverNow(), problem: null });
  changed();
  const response = await send(`reservations/${sid}/${verb}`, parameters);
  if (state.inbox.rows.get(sid)?.phase === "deciding") {
    settle(sid, response);
  }
  if (parameters.activity_sid && state.inbox.rows.get(sid)?.phase === "open") {
    expectActivity(null);
  }
  session.pollNow();
  changed();
}

/** Send a POST request; return null if there is no response or the session has ended. */
export async function send(path, parameters) {
  try {
    return await call("POST", path, parameters);
  } catch (error) {
    if (!(error instanceof NoResponse)) {
      throw error;
    }
    return null;
  }
}

/** Codes of 5xx responses to requests that TaskRouter did not process. */
export const WITHOUT_EFFECT = ["TaskRouterDenied", "TaskRouterNotSent", "TaskRouterThrottled"];

/** Return whether the outcome of a request is unknown. API Gateway's own errors have no code. */
export const isOutcomeUnknown = (response) =>
  !response || (response.status >= 500 && !WITHOUT_EFFECT.includes(response.body?.Code));

const isDenied = (response) => response.body?.Code === "TaskRouterDenied";

/** Poll to check an outcome, even during a pause that the server has requested, because the offer may end before the pause does. */
const pollToCheck = () => session.pollNow({ isForced: true });

/** Show the outcome of a request in its row. */
function settle(sid, response) {
  if (isOutcomeUnknown(response)) {
    const wait = 1000 * (response ? retryAfter(response, 3) : 3);
    after(startCheck(state.inbox, sid, wait), pollToCheck);
    return;
  }
  const { status, body } = response;
  const code = body?.Code;
  const reached = body?.reservation_status;
  if ((status === 200 || code === "ReservationNotPending") && reached !== "pending") {
    finish(sid, { ...body, status: reached }, status === 200);
  } else if (code === "ReservationGone") {
    finish(sid, { status: "gone" }, true);
  } else if (code === "NotFoundError") {
    vanish(sid);
  } else if (status === 429 || (status >= 500 && !isDenied(response))) {
    reopen(sid, notSent("problemNotSent", retryAfter(response, 1)));
  } else {
    state.isDenied ||= isDenied(response);
    reopen(sid, status === 202 ? null : () => problem(response), fieldOf(response));
  }
}

/** Return a function that returns a message with the number of seconds until the user can try again. */
export function notSent(key, seconds) {
  const at = performance.now() + seconds * 1000;
  return () => {
    const n = Math.ceil((at - performance.now()) / 1000);
    return `${text(key)} ${text(n > 0 ? "tryAgainIn" : "again", { n })}`;
  };
}

/** Return the service's error message. For a request that TaskRouter refused, return only TaskRouter's reason or, if the message contains none, the status, the error code and a link. */
export const reasonOf = ({ status, body }) =>
  (body?.Message ?? `HTTP ${status}`).replace(/^TaskRouter refused the request \((.*?)\)(: )?/, (_, cause, hasReason) => (hasReason ? "" : cause));

/** The labels of the phone dialog's fields, by parameter. */
const PHONE_FIELDS = { to: "phoneTo", from: "phoneFrom" };

/** Return the field of the phone dialog that an error message mentions, if any. */
const fieldOf = ({ body }) => /(?:^|`|Check )(to|from)\b/.exec(body?.Message ?? "")?.[1];

/** Return the text for a request that had no effect. */
function problem({ status, body }) {
  const keys = {
    UnauthorizedError: "problemUndecided",
    ForbiddenError: "problemForbidden",
    TaskRouterDenied: "problemDenied",
    InstructionAlreadySent: "problemPhoneTwice",
  };
  const reason = reasonOf({ status, body });
  const field = fieldOf({ body });
  if (field && /^\w+ must be a phone number/.test(reason)) {
    return text("problemNumber", { field: text(PHONE_FIELDS[field]) });
  }
  if (body?.Code === "ForbiddenError" && /instruction|parameter|may not/.test(reason)) {
    return text("problemOther", { reason });
  }
  if (body?.Code === "TaskRouterRefused") {
    return text("problemRefused", { reason });
  }
  return text(keys[body?.Code] ?? "problemOther", { reason });
}

function reopen(sid, reason, field) {
  changeRow(state.inbox, sid, { phase: "open", problem: reason, field });
  if (reason) {
    announce(reason());
  }
}

/** End a row or, if the response was not conclusive, look up how the Reservation ended. */
function finish(sid, reservation, isConclusive) {
  const row = state.inbox.rows.get(sid);
  if (!row) {
    return;
  }
  if (isConclusive) {
    conclude(sid, { ...row.reservation, ...reservation });
  } else {
    vanish(sid);
  }
}

export function announceEnding(key, row) {
  announce(text("announceEnding", { ending: text(key), title: rowTitle(state.inbox, row) }));
}

/** In all tabs, end a row or a Task in progress according to its Reservation's record. */
function conclude(sid, reservation) {
  session.send({ type: "ended", sid, reservation });
  endByRecord({ sid, reservation });
}

/** End a row, or a Task in progress, according to a record that any of the user's tabs has read. */
export function endByRecord({ sid, reservation }) {
  const row = state.inbox.rows.get(sid);
  if (row && row.phase !== "ended") {
    const outcome = ending(reservation, state.inbox.principal);
    endRow(state.inbox, sid, outcome, serverNow());
    announceEnding(outcome.kind, row);
  } else {
    endTask(sid, reservation);
  }
  changed();
}

/** Lookups by SID: {failures, at, isRunning}. A lookup is either running or waiting until `at`. */
const lookups = new Map();
/** Time before which no lookup starts, because an earlier lookup failed. */
let resumeAt = 0;

/** Show that an offer is no longer open, and find out how it ended. */
function vanish(sid) {
  changeRow(state.inbox, sid, { phase: "vanished" });
  lookUp([sid]);
}

/**
 * Find out how Reservations that are no longer open have ended. Only the polling tab sends the requests.
 *
 * Each poll calls this function again, which starts the lookups that are due. Lookups therefore need no timers.
 */
export function lookUp(sids) {
  if (!state.isLeader) {
    if (sids.length) {
      session.send({ type: "lookUp", sids });
    }
    return;
  }
  for (const sid of sids) {
    if (!lookups.has(sid) && state.inbox.rows.get(sid)?.phase !== "ended") {
      lookups.set(sid, { failures: 0, at: 0, isRunning: false });
    }
  }
  startLookups();
}

function startLookups() {
  let running = [...lookups.values()].filter(({ isRunning }) => isRunning).length;
  for (const [sid, lookup] of lookups) {
    if (running >= LOOKUPS_AT_ONCE || performance.now() < resumeAt) {
      return;
    }
    if (!lookup.isRunning && lookup.at <= performance.now()) {
      lookup.isRunning = true;
      running += 1;
      fetchEnding(sid, lookup);
    }
  }
}

async function fetchEnding(sid, lookup) {
  const response = state.session && (await call("GET", `reservations/${sid}`).catch(() => ({ status: 0 })));
  lookup.isRunning = false;
  if (!response) {
    // The session has ended. The polls of the next session repeat the lookup.
    lookups.delete(sid);
    return;
  }
  const { status, body } = response;
  const isOpen = body?.status === "pending" || (state.inbox.leaving.has(sid) && isInProgress(body));
  if (status === 200 && isOpen && state.inbox.isTruncated) {
    // The overview omits the Reservation, because other Reservations are more urgent.
    lookups.delete(sid);
    removeRow(state.inbox, sid);
    state.inbox.leaving.delete(sid);
  } else if (status === 200 && !isOpen) {
    lookups.delete(sid);
    conclude(sid, body);
  } else if (GONE.has(body?.Code)) {
    lookups.delete(sid);
    conclude(sid, { status: "gone" });
  } else {
    // The record does not show the ending yet, or the request failed.
    postpone(lookup, response);
  }
  startLookups();
  changed();
}

/** Return the milliseconds to wait before a failed request is repeated. */
export const pauseAfter = (response, failures) =>
  Math.max(Math.min(MAX_LOOKUP_WAIT, LOOKUP_WAIT * 2 ** failures), requestedPause(response));

/** Wait before the next lookup of a Reservation. After a failed request, other lookups also wait. */
function postpone(lookup, response) {
  lookup.at = performance.now() + pauseAfter(response, lookup.failures);
  lookup.failures += 1;
  if (response.status !== 200) {
    resumeAt = lookup.at;
  }
}

/** Complete a Reservation in progress, and its Task. */
export async function complete(sid) {
  const { completions, progress } = state.inbox;
  const reservation = progress.find((each) => each.reservation_sid === sid);
  if (isOffline() || !reservation || completions.get(sid)?.isBusy) {
    return;
  }
  completions.set(sid, { isBusy: true, label: "completing", undecidedFrom: Infinity });
  changed();
  const response = await send(`reservations/${sid}/complete`, {});
  if (isOutcomeUnknown(response)) {
    checkCompletion(sid, reservation);
  } else if (response.status === 200) {
    conclude(sid, { ...reservation, status: "completed" });
  } else if (response.body?.Code === "ReservationGone") {
    state.inbox.leaving.set(sid, reservation);
    lookUp([sid]);
  } else {
    completions.set(sid, { problem: () => problem(response) });
  }
  session.pollNow();
  changed();
}

/** Check after a few seconds whether the Task is still in progress, because the outcome is unknown. */
function checkCompletion(sid, reservation) {
  const { completions } = state.inbox;
  completions.set(sid, { isBusy: true, label: "checking", undecidedFrom: performance.now() + LOOKUP_WAIT });
  announceEnding("checking", { reservation });
  after(LOOKUP_WAIT, pollToCheck);
}

/** End a Task in progress according to its Reservation's record. */
function endTask(sid, reservation) {
  const { inbox } = state;
  const task = inbox.leaving.get(sid) ?? inbox.progress.find((each) => each.reservation_sid === sid);
  if (!task || isInProgress(reservation)) {
    return;
  }
  inbox.leaving.delete(sid);
  inbox.completions.delete(sid);
  inbox.progress = inbox.progress.filter((each) => each.reservation_sid !== sid);
  const outcome = taskEnding(reservation, inbox.principal);
  const row = { sid, reservation: task, isTask: true, ending: { ...outcome, at: serverNow() } };
  inbox.ended = [row, ...inbox.ended.filter((each) => each.sid !== sid)];
  announceEnding(outcome.kind, row);
}

/** Record in all tabs which Activity the user has requested. The SID is null if the switch had no effect. */
export function expectActivity(sid) {
  session.send({ type: "expectActivity", sid });
  state.expectedActivity = sid;
}

/** Return the parameters of a rejection: the Activity that the user has chosen for this offer, if any. */
export function rejection(sid) {
  const chosen = state.inbox.rows.get(sid)?.activityAfterRejection;
  return state.activities.some((activity) => activity.sid === chosen) ? { activity_sid: chosen } : {};
}

export function openDialog(dialog) {
  state.dialog = dialog;
  changed();
}

/** Open the page of a Reservation. */
export function inspect(sid) {
  location.hash = `/reservations/${sid}`;
}
