// The signed-in user. Each tab stores its own token, and passes it only to the API and to other tabs of this page.

import { localStorage, openChannel, sessionStorage } from "./browser.js";
import { readJson } from "./preferences.js";

const TOKEN = "console.token";
const DRAFTS = "console.drafts";

/** The fragment of the page's address after a completed sign-in. The page can then request the token from the API. */
const COMPLETE = "#sign-in=complete";

/**
 * Take the result of a sign-in out of the address bar, before anything else can read or log it.
 * Return {token, failure}; both are null if there is no result. The token is empty if a sign-in is complete.
 */
export function takeFragment() {
  const fragment = new URLSearchParams(location.hash.slice(1));
  const token = location.hash === COMPLETE ? "" : fragment.get("token");
  const result = { token, failure: fragment.get("sign-in-error") };
  if (result.token !== null || result.failure !== null) {
    history.replaceState(null, "", location.pathname + location.search);
  }
  return result;
}

const ATTEMPT = "console.sign-in";
/** Milliseconds after which the API refuses to complete a sign-in. */
const ATTEMPT_TIME = 600_000;

/**
 * Record that this tab is leaving the page to sign in. For a sign-in that the user did not ask for, `attempt` contains
 * the owner of the session and the time at which the session expired. The page needs both when the tab returns.
 */
export const beginSignIn = (attempt) => sessionStorage.setItem(ATTEMPT, JSON.stringify({ at: Date.now(), ...attempt }));

const RENEWAL = "console.renewal";
/**
 * Record that this tab is about to renew the session without asking the user. Return false if any tab began a renewal
 * less than `pause` ms ago. Only one tab at a time may renew the session, because the provider's response completes only
 * the last sign-in that was begun in this browser.
 */
export function claimRenewal(pause) {
  const age = Date.now() - Number(localStorage.getItem(RENEWAL));
  if (age >= 0 && age < pause) {
    return false;
  }
  localStorage.setItem(RENEWAL, Date.now());
  return true;
}

function readAttempt() {
  const attempt = readJson(sessionStorage, ATTEMPT);
  return Date.now() - attempt?.at < ATTEMPT_TIME ? attempt : null;
}

/** Return whether the sign-in that this tab has begun is complete, so that the page can ask the API for the token. */
export const isSignInComplete = () => location.hash === COMPLETE && readAttempt() !== null;

/** Return this tab's sign-in, and remove it. Return null if there is no sign-in, or if it has taken too long. */
export function endSignIn() {
  const attempt = readAttempt();
  sessionStorage.removeItem(ATTEMPT);
  return attempt;
}

const tabs = openChannel("console sessions");

/** Pass a new token to the user's other tabs, whose session may have expired. */
export const shareToken = (owner, token) => tabs?.postMessage({ owner, token });

/** Call a function with the tokens from other tabs: {owner, token}. */
export const listenToTabs = (receive) => tabs?.addEventListener("message", ({ data }) => receive(data));

export const storedToken = () => sessionStorage.getItem(TOKEN);

export function storeToken(token) {
  sessionStorage.setItem(TOKEN, token);
  sessionStorage.removeItem(EXPIRED);
}

const EXPIRED = "console.expired";

/** Record when the session expired. The record is deleted when the user signs in or out. */
export const storeExpiry = (at) => sessionStorage.setItem(EXPIRED, at);

/** Return when the session of this tab expired, or 0. */
export const expiredAt = () => Number(sessionStorage.getItem(EXPIRED));

export const forgetToken = () => sessionStorage.removeItem(TOKEN);

/**
 * The key of a value that each sign-out changes. Each tab stores the value of the last sign-out that the tab has processed.
 * A tab that is restored, or that returns from another site, therefore detects a sign-out that it has missed.
 */
const SIGN_OUT = "console.sign-out";

/** Return whether a user has signed out in this browser, and this tab has not processed the sign-out yet. */
export const isSignOutPending = () => localStorage.getItem(SIGN_OUT) !== sessionStorage.getItem(SIGN_OUT);

/** Sign out in all tabs, including tabs of other users and tabs whose session has expired. */
export function signOutEverywhere() {
  clear(localStorage);
  localStorage.setItem(SIGN_OUT, Date.now());
}

/** Remove everything that this tab stores; return whether any user data was stored. */
export function clearTab() {
  const wasUsed = clear(sessionStorage);
  forgetDrafts();
  const processed = localStorage.getItem(SIGN_OUT);
  if (processed !== null) {
    sessionStorage.setItem(SIGN_OUT, processed);
  }
  return wasUsed;
}

function clear(storage) {
  const keys = Object.keys(storage).filter((key) => key.startsWith("console."));
  keys.forEach((key) => storage.removeItem(key));
  return keys.some((key) => key !== SIGN_OUT);
}

/**
 * Return the claims that the page needs from a token, or null if the token is malformed. The API
 * verifies the token; the page only shows whose token it is.
 */
export function readClaims(token) {
  try {
    const part = token.split(".")[1].replaceAll("-", "+").replaceAll("_", "/");
    const bytes = Uint8Array.from(atob(part), (character) => character.charCodeAt(0));
    const { exp, grants } = JSON.parse(new TextDecoder().decode(bytes));
    const { role, worker_sid: workerSid = null, workspace_sid: workspaceSid } = grants.task_router;
    const isKnown = ["worker", "supervisor", "service"].includes(role);
    if (typeof exp !== "number" || !isKnown || !["string", "object"].includes(typeof workerSid)) {
      return null;
    }
    const identity = typeof grants.identity === "string" ? grants.identity : "";
    const owner = [workspaceSid, role, workerSid, identity].join(" ");
    return { expiresAt: exp * 1000, role, workerSid, identity, owner };
  } catch {
    return null;
  }
}

/** The user's input and choices, by field. They survive a new sign-in in this tab. */
export const drafts = { ...readJson(sessionStorage, DRAFTS) };

function forgetDrafts() {
  Object.keys(drafts).forEach((field) => delete drafts[field]);
  sessionStorage.removeItem(DRAFTS);
}

/** Assign the drafts in this tab to a user. Drafts of a different user are deleted; drafts without an owner, such as a section chosen before the sign-in, are kept. */
export function assignDrafts(owner) {
  if (drafts.owner && drafts.owner !== owner) {
    forgetDrafts();
  }
  storeDraft("owner", owner);
}

export function storeDraft(field, value) {
  drafts[field] = value;
  try {
    sessionStorage.setItem(DRAFTS, JSON.stringify(drafts));
  } catch {
    // The storage is full, so the drafts last only until the page is reloaded.
  }
}
