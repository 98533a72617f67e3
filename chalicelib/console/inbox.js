// The rows of the inbox: the known state of each Reservation, and how the rows change.
//
// A row's phase is one of
//   open       the Reservation is pending
//   deciding   this tab has sent a request to accept or reject the Reservation
//   checking   the outcome of that request is unknown
//   vanished   the Reservation is no longer open, and its status is being looked up
//   ended      the ending is known; the row keeps its place for a few seconds

import { duration, taskTitle } from "./format.js";
import { drafts, storeDraft } from "./session.js";
import { text } from "./texts.js";

/** Milliseconds for which a row keeps its place after it has ended. */
const STAY_TIME = 5000;
/** Milliseconds for which an ended row is listed. */
const LISTED_TIME = 600_000;
export const MAX_ENDED = 20;
/** Milliseconds after the end of a Task within which an overview that still shows the Task is considered out of date. */
const STALE_TIME = 15_000;
/** Maximum milliseconds until the outcome of a request is first checked. */
const MAX_CHECK_DELAY = 3000;
const ROLES = ["worker", "supervisor", "service"];

export const newInbox = () => ({
  rows: new Map(),
  order: [],
  ended: [],
  progress: [],
  /** Reservations that are no longer in progress, by SID. Their status is being looked up. */
  leaving: new Map(),
  /** This tab's requests to complete Tasks, by Reservation SID: {isBusy, label, undecidedFrom}, or {problem}. For undecidedFrom, see `startCheck`. */
  completions: new Map(),
  loaded: false,
  /** Whether the overview omits Reservations, and whether it may omit pending Reservations. */
  isTruncated: false,
  isPendingTruncated: false,
  worker: null,
  principal: "",
  titleAttributes: [],
});

export const timeout = (reservation) =>
  Date.parse(reservation.expires_at) - Date.parse(reservation.reserved_at);

/** Return whether a row has ended and no longer keeps its place. */
export const isOver = ({ stayUntil }) => performance.now() >= stayUntil;

/** Replace a row with a changed copy, so that its component notices the change. */
export function changeRow(inbox, sid, changes) {
  const row = inbox.rows.get(sid);
  if (row) {
    inbox.rows.set(sid, { ...row, ...changes });
  }
}

export const openRows = (inbox) =>
  inbox.order.map((sid) => inbox.rows.get(sid)).filter((row) => row.phase !== "ended");

/** Store the requests whose outcome is unknown, because the page is about to be reloaded or left. */
export function storeUndecided({ rows, completions }) {
  const decisions = [...rows.values()].filter(({ phase }) => phase === "deciding" || phase === "checking");
  const busy = [...completions].filter(([, { isBusy }]) => isBusy).map(([sid]) => ({ sid, verb: "complete" }));
  const sent = [...decisions, ...busy].map(({ sid, verb, sentAt }) => [sid, { verb, sentAt }]);
  if (sent.length || drafts.undecided) {
    storeDraft("undecided", Object.fromEntries(sent));
  }
}

/** Return the request about a Reservation, {verb, sentAt}, if its outcome was unknown when the page was left. After the first overview, return null. */
const undecided = ({ loaded }, sid) => (loaded ? null : drafts.undecided?.[sid]);

/** Remove a row that the overview omits because other rows are more urgent. */
export function removeRow(inbox, sid) {
  inbox.rows.delete(sid);
  inbox.order = inbox.order.filter((each) => each !== sid);
}

/**
 * Apply an overview to the inbox. If `isHeld`, no row is removed. `requestedAt` is when the overview was requested,
 * as a `performance.now()` time.
 *
 * Return {added, vanished, ended}: the new rows, the SIDs of Reservations whose ending must be looked
 * up, and the SIDs of rows that have ended.
 */
export function applyOverview(inbox, overview, now, isHeld, requestedAt) {
  const pending = overview.reservations.filter(({ status }) => status === "pending");
  const recentlyEnded = new Set(inbox.ended.filter((each) => each.isTask && now - each.ending.at < STALE_TIME).map(({ sid }) => sid));
  const decided = new Map();
  overview.reservations
    .filter((each) => each.status !== "pending" && !recentlyEnded.has(each.reservation_sid))
    .forEach((each) => decided.set(each.reservation_sid, each));
  const shown = new Set();
  const added = [];
  inbox.titleAttributes = overview.title_attributes;
  inbox.worker = overview.worker;
  inbox.isTruncated = overview.truncated;
  inbox.isPendingTruncated = lastListedDeadline(overview) < Infinity;
  for (const reservation of pending) {
    const sid = reservation.reservation_sid;
    shown.add(sid);
    if (applyPending(inbox, sid, reservation, requestedAt)) {
      added.push(inbox.rows.get(sid));
    }
  }
  const vanished = [];
  const ended = [];
  const lastDeadline = lastListedDeadline(overview);
  for (const [sid, { phase, deadline }] of inbox.rows) {
    if (!shown.has(sid) && ["open", "checking", "vanished"].includes(phase)) {
      if (decided.has(sid)) {
        endRow(inbox, sid, ending(decided.get(sid), inbox.principal), now);
        ended.push(sid);
      } else if (phase === "open" && deadline >= lastDeadline) {
        isHeld || removeRow(inbox, sid);
      } else {
        changeRow(inbox, sid, { phase: "vanished" });
        vanished.push(sid);
      }
    }
  }
  applyProgress(inbox, decided, requestedAt);
  inbox.loaded = true;
  return { added, vanished, ended };
}

/**
 * Update the Tasks in progress.
 *
 * A Task that has left the list is looked up if the user is a Worker, or if this tab has tried to
 * complete the Task. A supervisor's list contains the Tasks of all Workers, too many to look up.
 */
function applyProgress(inbox, decided, requestedAt) {
  for (const reservation of inbox.progress) {
    const sid = reservation.reservation_sid;
    if (inbox.worker || inbox.completions.has(sid)) {
      inbox.leaving.set(sid, reservation);
    }
  }
  for (const [sid, { claimed }] of decided) {
    inbox.leaving.delete(sid);
    if (undecided(inbox, sid)?.verb === "complete") {
      inbox.completions.set(sid, { isBusy: true, label: "checking", undecidedFrom: performance.now() + MAX_CHECK_DELAY });
    }
    if (!claimed && inbox.completions.get(sid)?.undecidedFrom <= requestedAt) {
      inbox.completions.set(sid, { problem: () => text("problemNotCompleted") });
    }
  }
  inbox.progress = [...decided.values()];
}

/**
 * Return the deadline of the last pending Reservation in the overview if the overview may omit pending Reservations with
 * later deadlines; otherwise return Infinity.
 *
 * A truncated overview omits accepted and wrapping Reservations first, then the pending ones that
 * expire last. A Worker's overview instead omits Reservations that are older than the Worker's newest 200.
 */
function lastListedDeadline({ reservations, truncated, worker }) {
  const last = reservations.at(-1);
  return truncated && !worker && last?.status === "pending" ? Date.parse(last.expires_at) : Infinity;
}

/** Update the row of a pending Reservation; return whether the row is new. */
function applyPending(inbox, sid, reservation, requestedAt) {
  const row = inbox.rows.get(sid);
  const json = JSON.stringify(reservation);
  if (!row) {
    inbox.rows.set(sid, { sid, reservation, json, phase: "open", problem: null, isNew: inbox.loaded, deadline: Date.parse(reservation.expires_at) });
    const sent = undecided(inbox, sid);
    if (sent) {
      startCheck(inbox, sid, MAX_CHECK_DELAY, sent);
    }
    return true;
  }
  if (row.json !== json && row.phase !== "ended") {
    changeRow(inbox, sid, { reservation, json, deadline: Date.parse(reservation.expires_at) });
  }
  const isUndecided = row.phase === "checking" && !reservation.claimed && row.undecidedFrom <= requestedAt;
  if (isUndecided || row.phase === "vanished") {
    const problem = isUndecided ? (() => text("problemUndecided")) : row.problem;
    changeRow(inbox, sid, { phase: "open", problem });
  }
  return false;
}

/**
 * Change a row's phase to checking, because the outcome of its request is unknown; return the milliseconds until the
 * first check.
 *
 * While the service may still decide, the overview shows the Reservation as claimed, and the row has no buttons. If the
 * service received the request, it will have made a claim by the first check. If an overview that is requested at that
 * time or later shows no claim, nothing was decided. The row counts down `wait`, the time in ms until a repeated request
 * can succeed. Because the offer may end before that time, the first check takes place after at most MAX_CHECK_DELAY ms.
 */
export function startCheck(inbox, sid, wait, sent) {
  const now = performance.now();
  const pause = Math.min(wait, MAX_CHECK_DELAY);
  changeRow(inbox, sid, { ...sent, phase: "checking", retryAt: now + wait, undecidedFrom: now + pause });
  return pause;
}

/** End a row; the row keeps its place for STAY_TIME milliseconds. */
export function endRow(inbox, sid, outcome, now) {
  const row = inbox.rows.get(sid);
  if (row && row.phase !== "ended") {
    changeRow(inbox, sid, { phase: "ended", ending: { ...outcome, at: now }, stayUntil: performance.now() + STAY_TIME, problem: null });
  }
}

/**
 * Return how a Reservation ended: {kind, note}. The note is a function, because the language may change.
 *
 * @param reservation - a Reservation with a status other than pending.
 * @param principal - the user's name in accepted_by, such as worker:WK….
 */
export function ending(reservation, principal) {
  const { status, accepted_by: acceptedBy, worker_name: workerName } = reservation;
  if (status === "accepted" || status === "wrapping" || status === "completed") {
    return acceptedEnding(principal, acceptedBy, workerName);
  }
  if (status === "rejected") {
    const by = reservation.history?.at(-1)?.by ?? principal;
    const isOther = by !== principal && ROLES.includes(by.split(":")[0]);
    const note = () => (isOther ? text("rejectedBy", { name: person(by, workerName) }) : "");
    return { kind: "rejected", note };
  }
  const time = duration(timeout(reservation));
  const endings = {
    __proto__: null,
    timeout: { kind: "timeout", note: () => text("timeoutNote", { time }) },
    canceled: { kind: "withdrawn", note: () => text("withdrawnNote") },
    rescinded: { kind: "taken", note: () => text("takenBy", { name: text("anotherWorker") }) },
  };
  return endings[status] ?? { kind: "gone", note: () => text("goneNote") };
}

export const isInProgress = ({ status }) => status === "accepted" || status === "wrapping";

/** Return how a Task in progress ended. */
export const taskEnding = (reservation, principal) =>
  reservation.status === "completed" ? { kind: "completed", note: () => "" } : ending(reservation, principal);

function acceptedEnding(principal, acceptedBy, workerName) {
  const isWorker = principal.startsWith("worker:");
  if (!acceptedBy || acceptedBy === principal || !ROLES.includes(acceptedBy.split(":")[0])) {
    const worker = workerName ?? text("worker");
    return { kind: "accepted", note: () => (isWorker ? "" : text("acceptedFor", { worker })) };
  }
  const name = () => person(acceptedBy, workerName);
  return isWorker
    ? { kind: "accepted", note: () => text("acceptedForYou", { name: name() }) }
    : { kind: "taken", note: () => text("takenBy", { name: name() }) };
}

/** Return a readable name for the principal that decided a Reservation. */
export function person(by, workerName) {
  const [role, ...identity] = by.split(":");
  return role === "worker"
    ? (workerName ?? text("anotherWorker"))
    : identity.join(":") || (ROLES.includes(role) ? text(role) : by);
}

/**
 * Sort the rows by time left, and move rows that ended some time ago to the list below.
 *
 * If `isHeld`, no row moves, and new rows are added at the end.
 */
export function arrange(inbox, now, isHeld) {
  if (isHeld) {
    inbox.order = [...new Set([...inbox.order, ...inbox.rows.keys()])];
  } else {
    for (const [sid, row] of inbox.rows) {
      if (isOver(row)) {
        inbox.rows.delete(sid);
        inbox.ended = [row, ...inbox.ended];
      }
    }
    inbox.order = [...inbox.rows.values()]
      .sort((a, b) => a.deadline - b.deadline || (a.sid < b.sid ? -1 : 1))
      .map(({ sid }) => sid);
  }
  inbox.ended = inbox.ended.filter(({ ending: { at } }) => now - at < LISTED_TIME).slice(0, MAX_ENDED);
}

export const rowTitle = (inbox, { reservation }) => taskTitle(reservation, inbox.titleAttributes);
