// Leaves the page for the identity provider, to sign the user in or to renew the session without asking the user.

import { isBusy } from "./actions.js";
import { alertToExpiry } from "./alerts.js";
import { pauseBefore, request } from "./api.js";
import { isClockKnown, serverNow } from "./clock.js";
import { storePage } from "./restore.js";
import { beginSignIn, claimRenewal, drafts, expiredAt } from "./session.js";
import { changed, state } from "./state.js";

/** Milliseconds before the expiry at which a renewal may start. The time varies, so that consoles do not renew at the same time. */
const EARLY = 300_000 * (1 + Math.random());
/** Minimum time between two renewals before the expiry. It prevents short sessions from being renewed constantly. */
const EARLY_PAUSE = 600_000;
/** Milliseconds without input after which the page is considered unused. The second value applies while a field has the focus. */
const QUIET = 10_000;
const QUIET_IN_FIELD = 60_000;

/** An offer that ends within this time (ms) delays a renewal, unless the session also ends within this time. */
const SOON = 60_000;

let inputAt = -Infinity;

export function listenToInput() {
  for (const name of ["keydown", "pointerdown", "pointermove", "wheel"]) {
    document.addEventListener(name, () => (inputAt = performance.now()), { capture: true, passive: true });
  }
}

/** Return whether nobody is using the page and no action is unfinished, so that leaving the page interrupts nothing. */
export function isIdle() {
  const { rows, completions } = state.inbox;
  const isEditing = document.activeElement?.matches("input, select, textarea");
  const isQuiet = performance.now() - inputAt >= (isEditing ? QUIET_IN_FIELD : QUIET);
  const isWaiting = [...rows.values(), ...completions.values()].some((each) => each.phase === "checking" || each.isBusy);
  return isQuiet && !isWaiting && !isBusy() && !state.dialog && !state.wantedActivity && !state.exporting?.isRunning;
}

const isSoon = (at) => at - serverNow() < SOON;

/** Return whether the page may be left without the user asking for it. During a session, an offer that ends soon prevents this, unless the session also ends soon. */
const mayLeave = () =>
  isIdle() && !(state.session && !isSoon(state.session.claims.expiresAt) && [...state.inbox.rows.values()].some(({ phase, deadline }) => phase === "open" && isSoon(deadline)));

/** The sign-in that is waiting for the provider's URL, {isSilent, query, failures, at}, or null. */
let pendingSignIn = null;
let isAsking = false;

export const isLeaving = () => pendingSignIn !== null;

export function stay() {
  pendingSignIn = null;
}

/**
 * Leave for the identity provider as soon as the API responds with the provider's URL. Until then, repeat the request,
 * because the network may be down, or the API may throttle requests. If the user did not ask for the sign-in
 * (`isSilent`), also wait until nobody is using the page.
 *
 * @param query - parameters of the sign-in. With `choose_account=1`, the provider lets the user choose another account.
 *     Otherwise, the provider may sign the user in with the previous account at once.
 */
export function leave({ isSilent = false, query }) {
  pendingSignIn = { isSilent, query, failures: 0, at: 0 };
  changed();
  continueLeaving();
}

export const leaveSilently = () => leave({ isSilent: true, query: "?silent=1" });

/** Request the provider's URL from the API if the next attempt is due, and leave. */
export async function continueLeaving() {
  const current = pendingSignIn;
  const isAllowed = () => pendingSignIn === current && !(current.isSilent && !mayLeave());
  if (!current || isAsking || performance.now() < current.at || !isAllowed()) {
    return;
  }
  if (current.isSilent) {
    claimRenewal(0);
  }
  isAsking = true;
  const response = await request("GET", `console/sign-in${current.query}`, { headers: { Accept: "application/json" } }).catch(() => null);
  isAsking = false;
  const url = response?.body?.location;
  // If the sign-in failed, the response contains this page's URL. The user need not see the failure of a silent sign-in.
  if (typeof url !== "string" || (current.isSilent && url.includes("#sign-in-error="))) {
    if (!state.session && current.isSilent && !current.failures) {
      alertToExpiry(expiredAt());
    }
    current.at = performance.now() + pauseBefore(response, current.failures);
    current.failures += 1;
    state.isUnanswered = true;
    changed();
  } else if (isAllowed()) {
    stay();
    beginSignIn(current.isSilent ? { expiredAt: expiredAt(), owner: drafts.owner } : {});
    storePage();
    if (state.signInPage.failure) {
      // If the provider shows an error and the user returns, do not offer a choice of accounts again.
      state.signInPage = { kind: "" };
      changed();
    }
    // A renewal adds no entry to the browser's history.
    location[current.isSilent ? "replace" : "assign"](url);
  }
}

/** Return whether the session expires soon, and nobody is using the page. */
export const isRenewalDue = () =>
  state.hasProvider && isClockKnown() && state.session.claims.expiresAt - serverNow() < EARLY && isIdle();

/** Start to renew the session before it expires. One tab renews it for all tabs. */
export function renewEarly() {
  if (state.isLeader && !pendingSignIn && mayLeave() && claimRenewal(EARLY_PAUSE)) {
    leaveSilently();
  }
}
