// Polls the overview. One of the user's tabs polls, and all of them show the result.

import { NoResponse, request, requestedPause } from "./api.js";
import { openChannel } from "./browser.js";
import { clockOffset, readServerTime, serverNow, setClockOffset } from "./clock.js";
import { after } from "./timer.js";

const POLL_TIMEOUT = 10_000;
const MAX_WAIT = 30_000;
const DEFAULT_INTERVALS = { visible_ms: 3000, hidden_ms: 15_000 };
/** The API's error codes that end a session. The HTTP status alone is not enough: proxies and firewalls also send 401 and 403. */
const SESSION_ERRORS = new Set(["UnauthorizedError", "ForbiddenError"]);
/** Width of the range in which a wait varies, as a share of the wait. The variation prevents simultaneous polls. */
const JITTER = 0.2;

/** Return whether a response is an overview. A proxy may send a 200 with a different body. */
const isOverview = (response) =>
  response?.status === 304 || (response?.status === 200 && Array.isArray(response.body?.reservations));

/** The name of the lock that each visible tab of a user holds. */
const visibleLock = (owner) => `console visible ${owner}`;

/** Return whether the console is visible in any of the user's tabs. */
export async function isAnyTabVisible(owner) {
  const { held = [] } = (await navigator.locks?.query().catch(() => null)) ?? {};
  return document.visibilityState === "visible" || held.some(({ name }) => name === visibleLock(owner));
}

/**
 * Poll until `stop` is called.
 *
 * `show` receives the overview, the state of the connection, and whether this tab polls. The overview is the same object
 * as before if nothing has changed, and null after a failure. `since` is the time of the last overview, or 0. If
 * the API refuses the token, `refuse` is called with the response. `receive` is called with other tabs' messages.
 */
export function startPolling({ token, owner, since, show, refuse, receive }) {
  const stopping = new AbortController();
  const { signal } = stopping;
  const channel = openChannel(`console ${owner}`);
  let overview = null;
  let etag = null;
  let connection = { state: "connecting", since, failures: 0, nextAt: 0 };
  let isLeader = false;
  let isWoken = false;
  let isWakeForced = false;
  /** The pause in ms that the server has requested. Only a poll with `isForced` ends this pause early. */
  let serverPause = 0;
  /** When this tab last polled successfully, heard from the tab that polls, or requested a poll. */
  let heardAt = performance.now();
  let endPause = () => {};

  /** Send the overview and the state to the other tabs. The tabs' `performance` clocks started at different times, so the message contains relative times. */
  function sendState() {
    const now = performance.now();
    channel?.postMessage({ type: "state", overview, connection, wait: connection.nextAt - now, age: now - connection.requestedAt, ...clockOffset() });
  }

  function publish() {
    show(overview, connection, isLeader);
    if (isLeader) {
      sendState();
    }
  }

  /** Poll once; return the milliseconds until the next poll. */
  async function poll() {
    const requestedAt = performance.now();
    let response = null;
    try {
      const headers = etag ? { "If-None-Match": etag } : {};
      response = await request("GET", "overview", { token, headers, timeout: POLL_TIMEOUT });
    } catch (error) {
      if (!(error instanceof NoResponse)) {
        throw error;
      }
    }
    if (!isLeader) {
      return 0;
    }
    if (SESSION_ERRORS.has(response?.body?.Code)) {
      refuse(response);
      return MAX_WAIT;
    }
    const isSuccess = isOverview(response) && succeed(response, requestedAt);
    const { visible_ms: visible, hidden_ms: hidden } = overview?.poll ?? DEFAULT_INTERVALS;
    const usual = (await isAnyTabVisible(owner)) ? visible : hidden;
    return isSuccess ? usual * (1 + JITTER * (Math.random() - 0.5)) : fail(response, visible, usual);
  }

  /** If the overview is late, show that the tab is reconnecting. If the polling tab hangs, take over. */
  function watch() {
    const { visible_ms: visible, hidden_ms: hidden } = overview?.poll ?? DEFAULT_INTERVALS;
    const usual = document.visibilityState === "visible" ? visible : hidden;
    const lateness = performance.now() - Math.max(heardAt, connection.nextAt) - 2 * usual;
    if (lateness > 0 && connection.state === "live") {
      connection = { ...connection, state: "reconnecting" };
      show(null, connection, isLeader);
    }
    if (lateness > POLL_TIMEOUT && !isLeader) {
      heardAt = performance.now();
      compete({ steal: true });
    }
  }

  /** Poll for all tabs as soon as the polling tab is closed or, with `steal`, immediately. */
  function compete(options) {
    navigator.locks.request(`console poll ${owner}`, options, lead).catch(({ name }) => {
      if (name === "SecurityError" && !signal.aborted) {
        // A browser that blocks storage also refuses locks, so this tab polls on its own.
        lead();
        return;
      }
      // Another tab has taken over, or this tab has stopped polling.
      isLeader = false;
      wake(true);
      if (name === "AbortError" && options.signal && !signal.aborted) {
        compete(options);
      }
    });
  }

  /** Record a failed poll; return the milliseconds until the next poll. */
  function fail(response, visible, usual) {
    const failures = connection.failures + 1;
    const backoff = Math.min(MAX_WAIT, visible * 2 ** (failures - 1));
    serverPause = requestedPause(response);
    const wait = Math.max(usual, backoff, serverPause) * (1 + JITTER * Math.random());
    const lasting = response ? "delayed" : "down";
    // After one failure, the next poll usually succeeds before the user notices, so no banner appears.
    const state = failures === 1 && wait <= 2 * usual ? "reconnecting" : lasting;
    connection = { ...connection, state, failures, nextAt: performance.now() + wait };
    show(null, connection, isLeader);
    sendState();
    return wait;
  }

  /** Show the overview; return whether that succeeded. If the overview cannot be shown, the poll has failed. */
  function succeed(response, requestedAt) {
    readServerTime(response);
    if (response.status === 200) {
      overview = response.body;
      etag = response.headers.get("ETag");
    }
    const previous = connection;
    heardAt = performance.now();
    connection = { state: "live", since: serverNow(), failures: 0, nextAt: 0, requestedAt };
    try {
      publish();
      return true;
    } catch (error) {
      console.error(error);
      connection = previous;
      return false;
    }
  }

  const sleep = (milliseconds) =>
    new Promise((resolve) => {
      const cancel = after(milliseconds, resolve);
      endPause = () => {
        cancel();
        resolve();
      };
    });

  async function pause(milliseconds) {
    const rest = milliseconds - serverPause;
    if (serverPause && !isWakeForced) {
      await sleep(serverPause);
    }
    serverPause = 0;
    if (!isWoken) {
      await sleep(rest);
    }
    isWoken = false;
    isWakeForced = false;
  }

  /**
   * Poll now. If a request is in progress, poll again after it, because it may have missed a change. Unless `isForced`,
   * first wait for the end of a pause that the server has requested. Without this wait, each decision would cause
   * another poll of a server that is throttling requests.
   */
  function wake(isForced) {
    isWoken = true;
    isWakeForced ||= Boolean(isForced);
    if (isForced || !serverPause) {
      endPause();
    }
  }

  async function lead() {
    isLeader = true;
    while (isLeader) {
      const wait = await poll();
      if (isLeader) {
        await pause(wait);
      }
    }
  }

  function pollNow({ isForced } = {}) {
    heardAt = performance.now();
    if (isLeader) {
      wake(isForced);
    } else {
      channel?.postMessage({ type: "wake", isForced });
    }
  }

  channel?.addEventListener("message", ({ data }) => {
    if (data.type === "state") {
      overview = data.overview;
      heardAt = performance.now();
      // A tab that was opened before a deployment may omit `wait` and `age`.
      connection = { ...data.connection, nextAt: heardAt + (data.wait ?? 0), requestedAt: heardAt - (data.age ?? 0) };
      etag = null;
      setClockOffset(data.offset, data.offsetError);
      show(overview, connection, false);
    } else if (data.type === "wake") {
      wake(data.isForced);
    } else if (data.type === "hello") {
      if (isLeader && overview) {
        publish();
      }
    } else {
      receive(data);
    }
  });

  let releaseLock = () => {};
  /** While the page is visible, hold a lock that makes the polling tab poll at the faster pace. */
  function showVisibility() {
    releaseLock();
    if (document.visibilityState === "visible") {
      const released = new Promise((resolve) => (releaseLock = resolve));
      navigator.locks?.request(visibleLock(owner), { mode: "shared" }, () => released).catch(() => {});
      pollNow();
    }
  }

  document.addEventListener("visibilitychange", showVisibility, { signal });
  // The timer of a pause that the server requested may have stopped with the page, so do not wait for the timer.
  addEventListener("online", () => pollNow({ isForced: true }), { signal });
  addEventListener("pageshow", ({ persisted }) => persisted && pollNow({ isForced: true }), { signal });
  showVisibility();
  channel?.postMessage({ type: "hello" });
  if (navigator.locks && channel) {
    // The lock passes to another tab when this tab is closed. A page with a lock is never frozen.
    compete({ signal });
  } else {
    lead();
  }

  return {
    pollNow,
    watch,
    send: (message) => channel?.postMessage(message),
    stop() {
      isLeader = false;
      stopping.abort();
      wake(true);
      releaseLock();
      channel?.close();
    },
  };
}
