// Starts the console: session, polling, rendering.

import { announceEnding, endByRecord, lookUp, openDialog, useSession } from "./actions.js";
import { keepLoadingActivities, loadActivities } from "./activity.js";
import { alertTo, alertToExpiry, announce, showCount } from "./alerts.js";
import { pauseBefore, request, VERSION } from "./api.js";
import { forgetClock, isClockKnown, serverNow } from "./clock.js";
import { applyOverview, arrange, isOver, rowTitle, storeUndecided } from "./inbox.js";
import { expectTyping, listenToKeys } from "./keys.js";
import { startPolling } from "./poll.js";
import { render } from "./vendor.js";
import { loadPreferences, preferences } from "./preferences.js";
import { continueLeaving, isIdle, isLeaving, isRenewalDue, leaveSilently, listenToInput, renewEarly, stay } from "./renewal.js";
import { restorePage, storePage } from "./restore.js";
import { assignDrafts, claimRenewal, clearTab, drafts, endSignIn, expiredAt, forgetToken, isSignInComplete, isSignOutPending, listenToTabs, readClaims, shareToken, signOutEverywhere, storeDraft, storedToken, storeExpiry, storeToken, takeFragment } from "./session.js";
import { areRowsHeld, changed, isAvailable, onChange, resetState, section, sectionOf, select, state, tick } from "./state.js";
import { showLanguage, text } from "./texts.js";
import { after } from "./timer.js";
import { html } from "./view.js";
import { dialog } from "./view_dialogs.js";
import { signInPage } from "./view_door.js";
import { closeMenuOutside, header } from "./view_header.js";
import { HistoryPage } from "./view_history.js";
import { InboxPage, notice } from "./view_inbox.js";
import { InspectPage } from "./view_inspect.js";

/** Time in ms after which the first load is considered slow. */
const SLOW = 300;
/** Maximum normal gap in ms between two ticks. A longer gap may mean that the computer slept or its clock changed. Hidden pages also tick slowly. */
const MAX_TICK_GAP = 5000;
/** Browsers slow down the ticks of hidden pages to one per minute. A gap longer than this means that the computer has slept. */
const SLOWEST_TICK = 90_000;
/** Time after the end of an offer or Task within which TaskRouter may still change the Activity. */
const WORK_ENDED = 3000;
/** Maximum age of a timeout that explains a change of the Activity. Hidden pages poll every 15 s. */
const RECENT = 20_000;
/** Age in ms above which the Activities are read again when the page becomes visible, because an event about a change may have been lost. */
const MAX_ACTIVITIES_AGE = 60_000;

/** Minimum time between two renewals. It prevents sessions that end sooner from being renewed constantly. */
const RENEWAL_PAUSE = 60_000;

const root = document.querySelector("#console");
let polling = null;

function draw() {
  document.documentElement.lang = preferences.language;
  showCount();
  render(state.session ? sections() : signInPage({ ask: () => askForProvider() }), root);
}

/** Each section's page, and the anchor and text of the link that skips the header. */
const PAGES = {
  inbox: { page: () => html`<${InboxPage} pollNow=${pollNow} />`, anchor: "#offers", skip: "skip" },
  history: { page: () => html`<${HistoryPage} pollNow=${pollNow} />`, anchor: "#history", skip: "skipHistory" },
  overview: { page: () => supervisorPage("overview"), anchor: "#overview", skip: "skipOverview" },
  callbacks: { page: () => supervisorPage("callbacks"), anchor: "#callbacks", skip: "skipCallbacks" },
  inspect: { page: () => html`<${InspectPage} key=${drafts.inspected} sid=${drafts.inspected} pollNow=${pollNow} />`, anchor: "#reservation", skip: "skipInspect" },
};

function sections() {
  const { page, anchor, skip } = PAGES[section()];
  const skipHeader = (event) => {
    // Keep the address, because it identifies the section.
    event.preventDefault();
    document.querySelector(anchor)?.focus();
  };
  return html`<a class="skip" href=${anchor} onClick=${skipHeader}>${text(skip)}</a> ${header({ signOut })} ${page()} ${state.dialog?.kind === "create" ? state.supervisor?.createDialog() : dialog()}`;
}

/** A page that only supervisors see. It is empty while its script loads, and shows a message if loading fails. */
function supervisorPage(name) {
  const page = state.supervisor?.[name];
  return page ? html`<${page} pollNow=${pollNow} />` : html`<main class="page" aria-busy=${state.hasSupervisorFailed ? null : "true"}>
    <h1 id=${name} tabindex="-1" class=${state.hasSupervisorFailed ? "" : "vh"}>${text(name)}</h1>
    ${state.hasSupervisorFailed && notice("red", "last", text("pageFailed"), text("newVersionText"), { name: text("reload"), run: () => location.reload() })}
  </main>`;
}

/** Load the script that only supervisors need. */
async function loadSupervisor() {
  if (state.session.claims.role === "worker" || state.supervisor) {
    return;
  }
  try {
    state.supervisor = (await import("./supervisor.js")).SUPERVISOR_PAGES;
  } catch {
    // The network failed, or a deployment has replaced the files.
    state.hasSupervisorFailed = true;
    state.dialog = state.dialog?.kind === "create" ? null : state.dialog;
  }
  changed();
}

/** Poll at the user's request, even during a pause that the server has requested. */
const pollNow = () => polling?.pollNow({ isForced: true });

/** Start a session with a token, or show why the token cannot be used. */
function signIn(token) {
  const claims = readClaims(token);
  if (!claims) {
    showSignInPage({ kind: "bad-link" });
    return;
  }
  if (state.inbox.owner !== claims.owner) {
    // The user must not see data of a previous user.
    resetState();
    assignDrafts(claims.owner);
    state.inbox.owner = claims.owner;
  }
  if (!state.session) {
    expectTyping();
  }
  polling?.stop();
  stay();
  storeToken(token);
  Object.assign(state, { session: { token, claims }, nextToken: null, signInPage: { kind: "" } });
  const name = claims.role === "worker" ? `worker:${claims.workerSid}` : claims.role;
  state.inbox.principal = claims.role !== "worker" && claims.identity ? `${name}:${claims.identity}` : name;
  polling = startPolling({ token, owner: claims.owner, since: state.connection.since, show, refuse, receive: receiveMessage });
  keepLoadingActivities();
  loadSupervisor();
  setTimeout(() => {
    state.isSlow = true;
    changed();
  }, SLOW);
  changed();
}

/** Continue with the user's token from another tab: now if this tab has no session, otherwise when a renewal is due. */
function receive({ owner, token }) {
  if (state.inbox.owner !== owner) {
    return;
  }
  if (state.session) {
    state.nextToken = token;
  } else {
    signIn(token);
  }
}

function showSignInPage(shown) {
  polling?.stop();
  polling = null;
  state.isLeader = false;
  forgetToken();
  stay();
  const dialog = state.dialog?.kind === "link" ? null : state.dialog;
  Object.assign(state, { session: null, signInPage: shown, dialog, isUnanswered: false });
  changed();
}

function signOut() {
  signOutEverywhere();
  signOutIfPending();
}

/** Sign out in this tab if a user has signed out in this tab or in another tab. */
function signOutIfPending() {
  if (isSignOutPending()) {
    showSignInPage({ kind: clearTab() ? "signed-out" : "" });
    readPreferences();
    resetState();
  }
}

const RECEIVERS = {
  __proto__: null,
  ended: endByRecord,
  lookUp: ({ sids }) => state.isLeader && lookUp(sids),
  expectActivity: ({ sid }) => (state.expectedActivity = sid),
};

/** Process a message from another tab of this user. */
const receiveMessage = (message) => RECEIVERS[message.type]?.(message);

/** The token that the API refused before the page knew whether it could renew the session, or null. */
let refusedToken = null;

/** End the session because the API refused the token, or because the token has expired. If it is not known yet whether there is an identity provider, wait until it is known. */
function refuse() {
  const { token, claims } = state.session;
  const isExpired = claims.expiresAt <= serverNow();
  if (state.hasProvider === null) {
    refusedToken = token;
  } else if (state.inbox.loaded || isExpired || token !== processedToken) {
    expire(Math.min(claims.expiresAt, serverNow()));
  } else {
    showSignInPage({ kind: "bad-link" });
  }
}

/** End the session, then continue with another tab's token or, if nobody is using the page, renew the session. */
function expire(at) {
  const { nextToken } = state;
  const isRenewalPossible = state.hasProvider && isIdle();
  const mayRenew = isRenewalPossible && (isLeaving() || claimRenewal(RENEWAL_PAUSE));
  storeExpiry(at);
  showSignInPage({ kind: "expired", at });
  if (nextToken) {
    signIn(nextToken);
  } else if (mayRenew) {
    leaveSilently();
  } else if (!isRenewalPossible) {
    // If a renewal is possible, the tab that renews the session alerts the user if the renewal fails.
    alertToExpiry(at);
  }
}

/** Show an overview and the state of the connection, from this tab's poll or another tab's. */
function show(overview, connection, isLeader) {
  Object.assign(state, { connection, isLeader });
  if (overview) {
    apply(overview, isLeader);
  }
  if (connection.state === "live") {
    state.updatedAt = Date.now();
  }
  changed();
}

function apply(overview, isLeader) {
  const { inbox } = state;
  const isFirst = !inbox.loaded;
  const wasEmpty = inbox.order.length === 0;
  const now = serverNow();
  const { added, vanished, ended } = applyOverview(inbox, overview, now, areRowsHeld(), state.connection.requestedAt);
  ended.map((sid) => inbox.rows.get(sid)).forEach((row) => announceEnding(row.ending.kind, row));
  arrange(inbox, now, areRowsHeld());
  // Offers that arrived after the page was left and before it was loaded again are new to the user.
  const known = isFirst ? restorePage() : [];
  lookUp([...vanished, ...inbox.leaving.keys()]);
  noticeActivity(state, now);
  const isSelected = inbox.rows.has(state.selected) || (isFirst && inbox.progress.some((each) => each.reservation_sid === state.selected));
  if (wasEmpty && inbox.order.length && !isSelected) {
    select(inbox.order[0], { isAutomatic: true });
  }
  if (known) {
    alertTo(added.filter(({ sid }) => !known.includes(sid)), now, isLeader);
  }
  // During a deployment, responses from both versions arrive.
  state.hasNewVersion ||= overview.version !== VERSION;
}

/**
 * Detect that the Worker became unavailable although the user did not request it.
 *
 * A TaskQueue may define Activities that TaskRouter sets for reserved and for busy Workers. Therefore, while a Worker
 * has an offer or a Task, and shortly afterward, show no notice, unless an offer has just timed out.
 */
function noticeActivity({ inbox }, now) {
  const { worker, rows, progress } = inbox;
  const hasWork = progress.length > 0 || [...rows.values()].some(({ phase }) => phase !== "ended");
  state.workedAt = hasWork ? performance.now() : state.workedAt;
  if (!state.activities.length) {
    // Whether the Worker is available is not known yet.
    return;
  }
  const sid = worker?.activity_sid ?? null;
  const isExpected = sid === state.expectedActivity;
  if (isExpected) {
    Object.assign(state, { expectedActivity: null, activityProblem: null });
  }
  if (isExpected || isAvailable(worker) !== false || state.knownActivity === null) {
    state.knownActivity = sid;
  }
  if (isAvailable(worker) !== false) {
    state.activityNotice = null;
  }
  const at = Date.parse(worker?.activity_changed_at) || now;
  const isTimeout = hasTimedOut(inbox, at, now);
  if (sid !== state.knownActivity && (isTimeout || performance.now() - state.workedAt > WORK_ENDED)) {
    state.knownActivity = sid;
    state.activityNotice = { name: worker.activity_name, at, isTimeout };
  }
}

/** Return whether an offer has just timed out and the Activity did not change more than 20 s before the timeout. */
const hasTimedOut = ({ rows, ended }, changedAt, now) =>
  [...rows.values(), ...ended].some(
    ({ deadline, ending }) =>
      ending?.kind === "timeout" && now - ending.at < RECENT && Math.min(deadline, ending.at) - changedAt < RECENT,
  );

/** The limits, in seconds, at which an offer's remaining time is announced, and the last limit that each offer has passed. */
const ANNOUNCED = [10, 30];
let passed = new Map();

/**
 * Announce an offer's remaining time once at 30 seconds and once at 10 seconds, even if a tick is late. If there are
 * more than three offers, announce only the selected offer's remaining time.
 */
function announceTimeLeft() {
  const { rows, order } = state.inbox;
  const previous = passed;
  passed = new Map();
  for (const sid of order.length <= 3 ? order : [state.selected]) {
    const row = rows.get(sid);
    const left = row?.phase === "open" ? Math.ceil((row.deadline - serverNow()) / 1000) : 0;
    if (left > 0) {
      const limit = ANNOUNCED.find((each) => left <= each) ?? null;
      passed.set(sid, limit);
      if (limit && previous.has(sid) && previous.get(sid) !== limit) {
        announce(text("announceLeft", { n: left, title: rowTitle(state.inbox, row) }));
      }
    }
  }
}

let lastTick = Date.now();

function update() {
  const now = Date.now();
  const gap = Math.abs(now - lastTick);
  if (gap > MAX_TICK_GAP) {
    forgetClock();
    polling?.pollNow({ isForced: gap > SLOWEST_TICK });
  }
  lastTick = now;
  continueLeaving();
  if (!state.session) {
    return;
  }
  // Without a connection, the page shows the last known state until the API refuses the token.
  if (isClockKnown() && state.connection.state === "live" && state.session.claims.expiresAt <= serverNow()) {
    refuse();
    return;
  }
  if (isRenewalDue()) {
    if (state.nextToken) {
      signIn(state.nextToken);
    } else {
      renewEarly();
    }
  }
  polling?.watch();
  announceTimeLeft();
  tick();
  if ([...state.inbox.rows.values()].some(isOver)) {
    changed();
  }
}

let activitiesReadAt = Date.now();

/** Read the Activities again when the page becomes visible, unless they were read recently. */
function refreshActivities() {
  const isOld = Math.abs(Date.now() - activitiesReadAt) > MAX_ACTIVITIES_AGE;
  if (isOld && state.session && document.visibilityState === "visible") {
    activitiesReadAt = Date.now();
    loadActivities();
  }
}

/** Read the preferences, for example after another tab has changed them. */
async function readPreferences() {
  loadPreferences();
  await showLanguage();
  changed();
}

/** Start rendering. The texts in the preferred language must be loaded; otherwise, the page would first appear in a different language. */
function startRendering() {
  root.replaceChildren();
  onChange(draw);
  changed();
}

function start() {
  readPreferences().then(startRendering);
  useSession({ pollNow: (options) => polling?.pollNow(options), send: (message) => polling?.send(message), expire: refuse });
  listenToTabs(receive);
  listenToKeys();
  listenToInput();
  closeMenuOutside();
  // A page in the back/forward cache gets no storage event, so it checks for a sign-out when the user returns.
  addEventListener("pageshow", signOutIfPending);
  addEventListener("pagehide", () => {
    storeUndecided(state.inbox);
    storePage();
  });
  addEventListener("storage", () => {
    signOutIfPending();
    readPreferences();
  });
  addEventListener("hashchange", ({ newURL }) => {
    if (!new URL(newURL).hash) {
      openSection("inbox");
    }
    enter();
  });
  document.addEventListener("visibilitychange", refreshActivities);
  setInterval(update, 1000);
  signOutIfPending();
  if (expiredAt()) {
    showSignInPage({ kind: "expired", at: expiredAt() });
  }
  enter();
  askForProvider();
}

/** Start with the token of this tab, or with the sign-in result that the address bar contains. */
function enter() {
  if (!state.session && storedToken()) {
    signIn(storedToken());
  }
  if (isSignInComplete()) {
    // The address stays until the API has returned the token, so that a reload repeats the request.
    changed();
    return;
  }
  const { token, failure } = takeFragment();
  const attempt = endSignIn();
  if (token !== null) {
    linkToken = token;
    processLink();
  } else if (failure !== null) {
    failSignIn(attempt, failure);
  }
  changed();
  showAddressedSection();
}

/**
 * Start a session with the token of a completed sign-in; without a token, show that the sign-in failed. If a renewal returns a token
 * of a different user, ask before the token replaces the session or, if the session has ended, show that it has ended.
 */
function completeSignIn(token) {
  takeFragment();
  const attempt = endSignIn();
  const claims = readClaims(token);
  const isOther = claims && attempt?.owner && attempt.owner !== claims.owner;
  if (isOther && state.session) {
    openDialog({ kind: "link", claims, accept: () => startSession(token) });
  } else if (attempt) {
    token && !isOther ? startSession(token) : failSignIn(attempt);
  }
}

function failSignIn(attempt, failure) {
  if (!state.session) {
    const at = attempt?.expiredAt || (attempt?.owner && expiredAt());
    showSignInPage(at ? { kind: "expired", at } : { kind: "failed", failure });
    if (at) {
      alertToExpiry(at);
    }
  }
}

function startSession(token) {
  signIn(token);
  if (state.session) {
    shareToken(state.inbox.owner, token);
  }
}

/** The token of a link that has not been processed yet, or null. It is empty for a sign-in that another tab has begun. */
let linkToken = null;
/** The token of the last link that was processed, or null. */
let processedToken = null;

/**
 * Process a sign-in link. Anyone can create a link that signs other users in to its creator's account.
 *
 * With an identity provider, only sign-ins that began in this tab are accepted. Otherwise, the user decides
 * whether the link replaces a session.
 */
function processLink() {
  const token = linkToken;
  if (token === null || state.hasProvider === null) {
    return;
  }
  linkToken = null;
  processedToken = token;
  const claims = readClaims(token);
  if (!state.session && state.hasProvider) {
    showSignInPage(state.signInPage.kind === "expired" ? state.signInPage : { kind: "unexpected" });
  } else if (!state.session) {
    startSession(token);
  } else if (!state.hasProvider && claims) {
    openDialog({ kind: "link", claims, accept: () => startSession(token) });
  }
}

const linksTo = (sid) => [...document.links].filter(({ hash }) => hash === `#/reservations/${sid}`);

/** Index of the followed link among the links to the inspected Reservation. The callback log may have several such links. */
let followedLink = 0;

/** Show the section that the address bar identifies. */
function showAddressedSection() {
  if (!location.hash) {
    return;
  }
  const [, sid] = /^#\/reservations\/([^?]*)/.exec(location.hash) ?? [];
  const name = sectionOf(location.hash);
  if (name === "inspect") {
    storeDraft("origin", section() === "inspect" ? drafts.origin : section());
    storeDraft("inspected", sid);
    followedLink = Math.max(0, linksTo(sid).indexOf(document.activeElement));
  } else if (name === "callbacks") {
    storeDraft("logFilter", location.hash.split("?")[1] ?? "");
  }
  openSection(name);
}

/** Show a section. After Inspect, the focus returns to the row of the Reservation, or to the link that the user followed. */
function openSection(name) {
  const sid = section() === "inspect" && name !== "inspect" ? drafts.inspected : null;
  state.isReturning = sid !== null;
  storeDraft("section", name);
  changed();
  queueMicrotask(() => {
    state.isReturning = false;
    if (sid && document.activeElement === document.body) {
      (document.getElementById(`row-${sid}`) ?? linksTo(sid)[followedLink])?.focus();
    }
  });
}

let cancelRetry = () => {};

/**
 * Ask the API whether there is an identity provider, and retry until the API responds. At the start of a shift, requests may
 * be throttled. If a sign-in is complete, first request its token.
 */
async function askForProvider(failures = 0) {
  cancelRetry();
  const isComplete = isSignInComplete();
  const response = await request(isComplete ? "POST" : "GET", "console/session", { parameters: isComplete ? {} : null }).catch(() => null);
  if (isComplete && response?.status < 429) {
    completeSignIn(response.body?.token);
    return askForProvider();
  }
  if (typeof response?.body?.oidc === "boolean") {
    state.hasProvider = response.body.oidc;
    if (refusedToken && state.session?.token === refusedToken) {
      refuse();
    }
    processLink();
    changed();
    return;
  }
  state.isUnanswered = true;
  changed();
  cancelRetry();
  cancelRetry = after(pauseBefore(response, failures), () => askForProvider(failures + 1));
}

start();
