// The Worker's Activity: what it is, and how the user switches it.

import { call, expectActivity, isUnknown, LOOKUP_WAIT, MAX_LOOKUP_WAIT, send, session } from "./actions.js";
import { retryAfter } from "./api.js";
import { changed, isOffline, state } from "./state.js";
import { after } from "./timer.js";

/** Read the Activities, and the Worker's own, of which an event may have been lost. */
export async function loadActivities() {
  const response = await call("GET", "activities").catch(() => ({ status: 0 }));
  if (response?.status === 200) {
    state.activities = response.body.activities;
    changed();
    session.pollNow();
  }
  return response;
}

/** Ask TaskRouter to switch the Worker's Activity. The header shows the old one until it has. */
export async function switchActivity(sid) {
  if (isOffline() || state.wantedActivity) {
    changed();
    return;
  }
  Object.assign(state, { wantedActivity: sid, activityProblem: null });
  expectActivity(sid);
  changed();
  const response = await send("activity", { activity_sid: sid });
  if (isUnknown(response)) {
    await checkActivity();
  } else if (response.status === 200) {
    showActivity(response.body);
  } else {
    state.activityProblem = "failed";
    expectActivity(null);
  }
  state.wantedActivity = null;
  session.pollNow();
  changed();
}

function showActivity({ activity_sid, activity_name }) {
  state.inbox.worker = { ...state.inbox.worker, activity_sid, activity_name };
  state.activityNotice = null;
}

/** The outcome is unknown: ask for the Worker's Activity until there is an answer. */
async function checkActivity() {
  const { wantedActivity, session: current } = state;
  let wait = LOOKUP_WAIT;
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
      const asked = response?.headers ? retryAfter(response, 0) * 1000 : 0;
      await new Promise((resolve) => after(Math.max(wait, asked), resolve));
      wait = Math.min(MAX_LOOKUP_WAIT, wait * 2);
    }
  }
  if (state.activityProblem === "checking") {
    // The session has ended. The next one shows the Activity.
    state.activityProblem = null;
  }
}
