// The sign-in page.

import { ROOT } from "./api.js";
import { isStorageBlocked } from "./browser.js";
import { rowTitle } from "./inbox.js";
import { timeOfDay } from "./format.js";
import { isLeaving, leave } from "./renewal.js";
import { state } from "./state.js";
import { around, text } from "./texts.js";
import { html, icon, logo } from "./view.js";

const isLoopback = /^(localhost|127(\.\d+){3}|\[::1\])$/.test(location.hostname);

const withCommand = (key) => {
  const [before, after] = around(key);
  return html`${before}<code>make run</code>${after}`;
};

/** Return the instructions for getting a link. They mention `make run` only on the local machine, because its links work only there. */
const newLink = (local, remote) => (isLoopback ? withCommand(local) : text(remote));

const NOTES = {
  expired: ({ at }) => ["amber", "calm", text("expired", { time: timeOfDay(at) }), text("expiredText")],
  "bad-link": () => ["red", "last", text("badLink"), html`${text("badLinkText")} ${newLink("badLinkLocal", "badLinkOther")}`],
  failed: ({ failure }) => ["red", "last", text("signInFailed"), failureText(failure)],
  unexpected: () => ["red", "last", text("signInFailed"), text("signInUnexpected")],
  "signed-out": () => ["blue", "check", text("signedOut"), `${text("signedOutText")} ${state.hasProvider === null ? "" : text(state.hasProvider ? "signedOutProvider" : "signedOutLink")}`],
};

export function signInPage({ ask }) {
  const { signInPage: shown, hasProvider, isUnanswered, inbox, selected } = state;
  const note = NOTES[shown.kind]?.(shown);
  const isExpired = shown.kind === "expired";
  const name = inbox.worker?.name;
  const row = isExpired && selected && inbox.rows.get(selected);
  return html`<main class="sign-in">
    ${note && html`<div class="banner" data-tone=${note[0]} role=${note[0] === "red" ? "alert" : "status"}>${icon(note[1])}<p><strong>${note[2]}</strong> ${note[3]}</p></div>`}
    <div class="card">
      <div class="brand">${logo()}<span>${text("console")}</span></div>
      <div class="stack">
        <h1>${isExpired && name ? text("signInAgainName", { name }) : text("signIn")}</h1>
        <p class="muted">${row ? text("signInReturn", { title: rowTitle(inbox, row) }) : text("signInText")}</p>
      </div>
      ${isStorageBlocked && html`<p class="small">${text("storageBlocked")}</p>`}
      ${hasProvider === true && !isStorageBlocked && html`<a class="button primary" href=${CONSOLE} onClick=${leaveToSignIn}>${icon(isLeaving() ? "spin" : "key", isLeaving() ? "i spin" : "i")}${text("withAccount")}</a>`}
      ${isUnanswered && (hasProvider === null || isLeaving()) && html`<p class="small" role="status">${text("unanswered")}</p>`}
      ${isUnanswered && hasProvider === null && html`<button type="button" onClick=${ask}>${text("tryNow")}</button>`}
      ${hasProvider === false && html`<p class="small muted">${newLink("localText", "linkOnlyText")}</p>`}
    </div>
  </main>`;
}

/** The error codes that have their own texts. */
const FAILURES = new Map([
  ["no_worker", "failedNoWorker"],
  ["several_workers", "failedSeveralWorkers"],
  ["no_identity", "failedNoIdentity"],
  ["no_role", "failedNoRole"],
  ["expired", "failedExpired"],
]);

/** More codes from the API, which the page shows unchanged. Unlisted codes are not shown, because anyone can create a link with any code. */
const OTHER_FAILURES = "provider_unavailable provider_refused provider_invalid taskrouter_unavailable secrets_unavailable request_failed access_denied login_required interaction_required consent_required account_selection_required temporarily_unavailable server_error".split(" ");

/** Return whether the code means that the user's account has no access to the console. Some providers report access_denied in this case. */
const isWrongAccount = (code) => (FAILURES.has(code) && code !== "expired") || code === "access_denied";

const failureText = (code) => `${text(FAILURES.get(code) ?? (OTHER_FAILURES.includes(code) ? "failedOther" : "failedUnknown"), { reason: code })}${isWrongAccount(code) ? ` ${text("failedChoose")}` : ""}`;

/** The URL of this page, to which the sign-in button links. If the link is opened in a new tab, this page appears and starts no sign-in, because a sign-in is accepted only in the tab where it began. */
const CONSOLE = new URL("console/", ROOT).href;

function leaveToSignIn(event) {
  if (!event.ctrlKey && !event.metaKey && !event.shiftKey) {
    event.preventDefault();
    leave({ query: isWrongAccount(state.signInPage.failure) ? "?choose_account=1" : "" });
  }
}
