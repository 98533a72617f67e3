// Loads the record that Inspect shows, and keeps the record up to date until the Reservation ends.

import { call, GONE } from "./actions.js";
import { requestedPause } from "./api.js";
import { serverNow } from "./clock.js";
import { changed, state } from "./state.js";
import { text } from "./texts.js";
import { isUnfinished } from "./timeline.js";

/** Milliseconds between loads while the offer is open, and after the decision. Each failure doubles the pause, up to MAX_RECORD_PAUSE. */
const OFFER_PAUSE = 5000;
const WORK_PAUSE = 15_000;
const MAX_RECORD_PAUSE = 60_000;

/** Return why a request failed. */
export const failureReason = (response) => {
  const reason = response?.body?.Message;
  return reason ? text("problemOther", { reason }) : text("notLoaded");
};

/** Load a record repeatedly until its Reservation has ended, except while the page is hidden; return {load, stop}. */
export function watchRecord(sid) {
  const inspection = { sid, record: null, loadedAt: 0, problem: null, code: null, check: null, resend: null };
  let timer = 0;
  let nextAt = 0;
  let resumeAt = 0;
  let failures = 0;
  let isLoading = false;
  let isStale = false;
  let isStopped = false;
  state.inspection = inspection;

  /** Load the record now. A Retry-After header delays the load, unless the user has requested the load (`isForced`). */
  async function load(isForced = false) {
    clearTimeout(timer);
    if (isLoading) {
      isStale = true;
      return;
    }
    if (isStopped || document.visibilityState !== "visible" || (performance.now() < resumeAt && !isForced)) {
      scheduleLoad();
      return;
    }
    if (!/^WR[0-9a-f]{32}$/.test(sid)) {
      receive({ status: 404, body: { Code: "NotFoundError" }, headers: new Headers() });
      return;
    }
    isLoading = true;
    const response = await call("GET", `reservations/${sid}`).catch(() => undefined);
    isLoading = false;
    if (response !== null) {
      receive(response);
    } else {
      // The session has ended, or continues with another tab's token. In the second case, the next load succeeds.
      scheduleLoad();
    }
  }

  function receive(response) {
    const isRecord = response?.status === 200 && Array.isArray(response.body?.history);
    inspection.code = response?.body?.Code;
    inspection.problem = isRecord ? null : () => failureReason(response);
    if (isRecord) {
      Object.assign(inspection, { record: response.body, loadedAt: serverNow() });
    }
    failures = isRecord ? 0 : failures + 1;
    resumeAt = performance.now() + requestedPause(response);
    const isFinal = isRecord ? !isUnfinished(response.body) : GONE.has(inspection.code);
    const pause = inspection.record && inspection.record.status !== "pending" ? WORK_PAUSE : OFFER_PAUSE;
    nextAt = isFinal ? Infinity : Math.max(resumeAt, performance.now() + Math.min(MAX_RECORD_PAUSE, pause * 2 ** failures));
    if (isStale) {
      isStale = false;
      nextAt = resumeAt;
    }
    scheduleLoad();
    changed();
  }

  function scheduleLoad() {
    clearTimeout(timer);
    if (!isStopped && nextAt < Infinity && document.visibilityState === "visible") {
      timer = setTimeout(() => load(), Math.max(0, resumeAt - performance.now(), nextAt - performance.now()));
    }
  }

  function stop() {
    isStopped = true;
    clearTimeout(timer);
    document.removeEventListener("visibilitychange", scheduleLoad);
  }

  document.addEventListener("visibilitychange", scheduleLoad);
  scheduleLoad();
  return { load, stop };
}

const CALLBACK_ACTIONS = { check: ["GET", "signature"], resend: ["POST", "send_again"] };

/**
 * Ask the API to verify the recorded signature of a Reservation's callback again (`check`), or to send the callback
 * again (`resend`). The outcome is stored in `target[name]`.
 */
export async function runCallbackAction(target, name) {
  if (target[name]?.isRunning) {
    return;
  }
  const [method, path] = CALLBACK_ACTIONS[name];
  target[name] = { isRunning: true };
  changed();
  const response = await call(method, `reservations/${target.sid}/${path}`).catch(() => undefined);
  // null: the session has ended, or continues with another tab's token. Clear the result, so that the user can try again.
  target[name] = response === null || response?.status === 200 ? response?.body : { problem: () => failureReason(response) };
  changed();
}

/** Only supervisors can send a callback again, and only in the local stack. */
export const canSendAgain = () =>
  state.session?.claims.role === "supervisor" && ["localhost", "127.0.0.1", "[::1]"].includes(location.hostname);
