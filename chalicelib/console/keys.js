// Keyboard shortcuts. Most of them act on the selected Reservation.

import { complete, decide, inspect, obstacle, openDialog, rejection } from "./actions.js";
import { clearFilter, focusFilter } from "./filter.js";
import { preferences } from "./preferences.js";
import { releaseRows, section, select, selectHistory, state } from "./state.js";
import { isSupervisor } from "./view_offer.js";

/** Elements that handle keys themselves, and areas that the arrow keys scroll. */
const OWN_KEYS = "input, select, textarea, [contenteditable], dialog";
const SCROLLED = '[tabindex="0"]';

/** Milliseconds for which a key in DECIDING is ignored after the same key was pressed, or after the page has selected a row. */
const KEY_PAUSE = 400;
/** Milliseconds for which the keys in DECIDING are ignored after typing. The user may still be typing in a field that a reload or sign-in removed. */
const TYPING_PAUSE = 2000;
/** Keys with which the user leaves a field. */
const LEAVING_KEYS = ["Enter", "Escape", "Tab"];

export const SHORTCUTS = [
  ["keysNext", ["J", "K"]],
  ["accept", ["A"]],
  ["acceptByPhone", ["P"]],
  ["reject", ["R"]],
  ["complete", ["C"]],
  ["inspect", ["I"]],
  ["filter", ["/"]],
  ["createTask", ["T"]],
  ["keysAll", ["?"]],
];

const rowElement = (sid) => document.getElementById(`row-${sid}`);

/** Return the SIDs of the displayed rows. The filter may hide other rows. */
const shownSids = () => [...document.querySelectorAll('[id^="row-"]')].map(({ id }) => id.slice(4));

const isHistory = () => section() === "history";

/** Return the SID of the selected row, or null if the page does not show it. */
function shownSelection() {
  const sid = isHistory() ? state.history.selected : state.selected;
  return sid && rowElement(sid) ? sid : null;
}

/** Select the next or previous Reservation, and move the focus to it. */
export function moveSelection(step) {
  const sids = shownSids();
  const position = sids.indexOf(shownSelection());
  const next = position < 0 ? 0 : Math.min(sids.length - 1, Math.max(0, position + step));
  if (sids[next]) {
    (isHistory() ? selectHistory : select)(sids[next]);
    queueMicrotask(() => rowElement(sids[next])?.focus());
  }
}

const KEYS = {
  j: () => moveSelection(1),
  arrowdown: () => moveSelection(1),
  k: () => moveSelection(-1),
  arrowup: () => moveSelection(-1),
  a: (sid) => decide(sid, "accept"),
  r: (sid) => decide(sid, "reject", rejection(sid)),
  p: (sid) => obstacle(sid) || openDialog({ kind: "phone", sid }),
  c: (sid) => state.inbox.progress.some((each) => each.reservation_sid === sid) && complete(sid),
  i: (sid) => sid && inspect(sid),
  t: () => isSupervisor() && !state.hasSupervisorFailed && openDialog({ kind: "create" }),
  "/": focusFilter,
  escape: clearFilter,
  "?": () => openDialog({ kind: "keys" }),
};
const DECIDING = new Set(["a", "r", "p", "c"]);

let lastPress = { key: "", at: 0 };
let typedAt = 0;

/** Assume that the user may be typing into a field that is no longer there. */
export const expectTyping = () => (typedAt = performance.now());

function press(event) {
  const key = event.key.toLowerCase();
  const action = KEYS[key];
  const isArrow = key.startsWith("arrow");
  // While the settings are open, they may cover the selected row, so no shortcut works.
  const isTyping = document.querySelector(".me[open]") || event.target.closest?.(isArrow ? `${OWN_KEYS}, ${SCROLLED}` : OWN_KEYS);
  const now = performance.now();
  const mayBeTyping = now - typedAt < TYPING_PAUSE;
  if (isTyping && LEAVING_KEYS.includes(event.key)) {
    typedAt = -Infinity;
  } else if (mayBeTyping || (isTyping && event.key.length === 1)) {
    typedAt = now;
  }
  // On some keyboards, / and ? need Shift.
  const isModified = event.ctrlKey || event.altKey || event.metaKey || (event.shiftKey && /\w/.test(key));
  if (!action || !preferences.shortcuts || isTyping || isModified || !state.session || state.dialog || (isArrow && !shownSids().length)) {
    return;
  }
  event.preventDefault();
  releaseRows();
  const isRepeated = key === lastPress.key && now - lastPress.at < KEY_PAUSE;
  lastPress = { key, at: now };
  if (DECIDING.has(key) && (isHistory() || mayBeTyping || event.repeat || isRepeated || now - state.selectedAt < KEY_PAUSE)) {
    return;
  }
  action(shownSelection());
}

export function listenToKeys() {
  document.addEventListener("keydown", press);
  document.addEventListener("pointerdown", () => (typedAt = -Infinity));
}
