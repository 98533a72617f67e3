// Stores the state that would be lost when the page is left or reloaded, and restores it afterward.

import { call } from "./actions.js";
import { changeRow, ending, MAX_ENDED, taskEnding } from "./inbox.js";
import { drafts, storeDraft } from "./session.js";
import { changed, state } from "./state.js";

/** The properties of the state that are stored unchanged. */
const STORED_PROPERTIES = ["selected", "knownActivity", "expectedActivity", "activityNotice"];

/** Store the state of the page. For Reservations, store only the SIDs, the Activities that the user has chosen, and whether an ended row was a Task in progress. */
export function storePage() {
  const { loaded, rows, ended } = state.inbox;
  if (loaded) {
    storeDraft("left", {
      ...Object.fromEntries(STORED_PROPERTIES.map((name) => [name, state[name]])),
      known: [...rows.keys()],
      choices: [...rows.values()].map(({ sid, activityAfterRejection: chosen }) => [sid, chosen]).filter(([, chosen]) => chosen),
      ended: ended.map(({ sid, isTask }) => [sid, isTask]),
      // When the browser hides the page, no element has the focus anymore, so keep the stored element.
      focus: document.activeElement?.closest("[id]")?.id ?? drafts.left?.focus,
    });
  }
}

/** After the first overview, restore the state that was stored for this user. Return the SIDs of the offers that the page showed before, or null. */
export function restorePage() {
  if (!drafts.left) {
    return null;
  }
  const { known, choices, ended, focus, ...values } = drafts.left;
  const { inbox } = state;
  storeDraft("left");
  Object.assign(state, values);
  choices.forEach(([sid, activityAfterRejection]) => changeRow(inbox, sid, { activityAfterRejection }));
  const gone = known.filter((sid) => !inbox.rows.has(sid));
  findEnded(inbox, new Map([...gone.map((sid) => [sid]), ...ended]));
  changed();
  // The element must be rendered first.
  queueMicrotask(() => document.getElementById(focus)?.focus());
  return known;
}

/** Look up Reservations that ended before the page was left, or before it was loaded again, and list them. */
async function findEnded(inbox, isTaskBySid) {
  for (const [sid, isTask] of [...isTaskBySid].slice(0, MAX_ENDED)) {
    const response = state.session && (await call("GET", `reservations/${sid}`).catch(() => null));
    const reservation = response?.body;
    if (response?.status === 200 && reservation.status !== "pending" && !inbox.ended.some((each) => each.sid === sid)) {
      const at = Date.parse(reservation.history.at(-1).at);
      inbox.ended.push({ sid, reservation, isTask, ending: { ...(isTask ? taskEnding : ending)(reservation, inbox.principal), at } });
      changed();
    }
  }
}
