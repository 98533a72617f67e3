// Keyboard shortcuts. They act on the selected Reservation.

import { complete, decide, inspect, openDialog, rejection } from "./actions.js";
import { preferences } from "./preferences.js";
import { select, state } from "./state.js";

/** Decisions are ignored if the key is repeated sooner, or the page has selected a row sooner. */
const PAUSE = 400;

export const SHORTCUTS = [
  ["keysNext", ["J", "K"]],
  ["accept", ["A"]],
  ["acceptByPhone", ["P"]],
  ["reject", ["R"]],
  ["complete", ["C"]],
  ["inspect", ["I"]],
  ["keysAll", ["?"]],
];

const rowElement = (sid) => document.getElementById(`row-${sid}`);

/** Select the next or previous Reservation, and move the focus to it. */
function move(step) {
  const { inbox, selected } = state;
  const sids = [...inbox.order, ...inbox.progress.map((each) => each.reservation_sid)];
  const position = sids.indexOf(selected);
  const next = position < 0 ? 0 : Math.min(sids.length - 1, Math.max(0, position + step));
  if (sids[next]) {
    select(sids[next]);
    queueMicrotask(() => rowElement(sids[next])?.focus());
  }
}

const isRow = (sid) => state.inbox.rows.get(sid)?.phase === "open";

const KEYS = {
  j: () => move(1),
  arrowdown: () => move(1),
  k: () => move(-1),
  arrowup: () => move(-1),
  a: (sid) => decide(sid, "accept"),
  r: (sid) => decide(sid, "reject", rejection()),
  p: (sid) => isRow(sid) && openDialog({ kind: "phone", sid }),
  c: (sid) => state.inbox.progress.some((each) => each.reservation_sid === sid) && complete(sid),
  i: (sid) => sid && inspect(sid),
  "?": () => openDialog({ kind: "keys" }),
};
const DECIDING = new Set(["a", "r", "p", "c"]);

let lastPress = { key: "", at: 0 };

function press(event) {
  const key = event.key.toLowerCase();
  const action = KEYS[key];
  const isTyping = event.target.closest?.("input, select, textarea, [contenteditable], dialog, .menu");
  const isModified = event.ctrlKey || event.altKey || event.metaKey;
  if (!action || !preferences.shortcuts || isTyping || isModified || !state.session || state.dialog) {
    return;
  }
  event.preventDefault();
  const now = performance.now();
  const isRepeated = key === lastPress.key && now - lastPress.at < PAUSE;
  lastPress = { key, at: now };
  if (DECIDING.has(key) && (event.repeat || isRepeated || now - state.selectedAt < PAUSE)) {
    return;
  }
  action(state.selected);
}

export const listenToKeys = () => document.addEventListener("keydown", press);
