// Reads and switches the Worker's Activity.

import { call, expectActivity, isOutcomeUnknown, notSent, pauseAfter, reasonOf, send, session } from "./actions.js";
import { retryAfter } from "./api.js";
import { changed, isOffline, state } from "./state.js";
import { text } from "./texts.js";
import { after } from "./timer.js";

/** Read the list of Activities and the Worker's current Activity, because an event about a change may have been lost. Return the response. */
export async function loadActivities() {
  const response = await call("GET", "activities").catch(() => ({ status: 0 }));
  if (response?.status === 200) {
    state.activities = response.body.activities;
    changed();
    session.pollNow();
  }
  return response;
}

/** Read the Activities, and retry until a request succeeds. Without the Activities, the user cannot switch. */
export async function keepLoadingActivities(failures = 0) {
  const { session: current } = state;
  const response = await loadActivities();
  const repeat = () => state.session === current && !state.activities.length && keepLoadingActivities(failures + 1);
  if (response && response.status !== 200) {
    const wait = pauseAfter(response, failures);
    state.activitiesRetryAt = performance.now() + wait;
    changed();
    after(wait, repeat);
  }
}

/** Ask TaskRouter to switch the Worker's Activity. The header shows the old Activity until TaskRouter confirms. */
export async function switchActivity(sid) {
  if (isOffline()) {
    state.activityProblem = "failed";
    state.activityReason = () => `${text("downButton")}.`;
  }
  if (isOffline() || state.wantedActivity) {
    changed();
    return;
  }
  Object.assign(state, { wantedActivity: sid, activityProblem: null, activityReason: null });
  expectActivity(sid);
  changed();
  const response = await send("activity", { activity_sid: sid });
  if (isOutcomeUnknown(response)) {
    await checkActivity();
  } else if (response.status === 200) {
    showActivity(response.body);
  } else {
    state.activityProblem = "failed";
    state.activityReason = reasonForFailedSwitch(response);
    expectActivity(null);
  }
  state.wantedActivity = null;
  session.pollNow();
  changed();
}

/** Minimum interval, in seconds, that the throttle of a small deployment requires between two switches. */
const SWITCH_INTERVAL = 6;

/** Return a function that returns the reason for a failed switch. */
function reasonForFailedSwitch(response) {
  const { status, body } = response;
  if (body?.Code === "TaskRouterDenied") {
    return () => text("problemDenied");
  }
  if (status === 429 || status >= 500) {
    return notSent("activityNotSent", retryAfter(response, SWITCH_INTERVAL));
  }
  const key = body?.Code === "TaskRouterRefused" ? "activityRefused" : "problemOther";
  return () => text(key, { reason: reasonOf(response) });
}

function showActivity({ activity_sid, activity_name }) {
  state.inbox.worker = { ...state.inbox.worker, activity_sid, activity_name };
  state.activityNotice = null;
}

/** Read the Worker's Activity, and retry until a request succeeds. The outcome of the switch is unknown. */
async function checkActivity() {
  const { wantedActivity, session: current } = state;
  let failures = 0;
  state.activityProblem = "checking";
  changed();
  while (state.session && state.session === current && state.activityProblem === "checking") {
    const response = await loadActivities();
    if (state.activityProblem !== "checking") {
      // The overview has shown the new Activity.
      return;
    }
    if (response?.status === 200) {
      showActivity(response.body.worker);
      const hasSwitched = response.body.worker.activity_sid === wantedActivity;
      state.activityProblem = hasSwitched ? null : "failed";
    } else {
      await new Promise((resolve) => after(pauseAfter(response, failures), resolve));
      failures += 1;
    }
  }
  if (state.activityProblem === "checking") {
    // The session has ended. The next session will show the Activity.
    state.activityProblem = null;
  }
}
