// Creates and updates the elements that rows share: expandable details, fields, preformatted text and action buttons.

import { el, setShown, setText } from "./dom.js";

/** Shortens a SID, for example to WT3f2a…9c1d. */
export const shortenSid = (sid) => (sid ? `${sid.slice(0, 6)}…${sid.slice(-4)}` : "");

/** Pretty-prints JSON text; returns any other text unchanged. */
export function formatJson(text) {
  try {
    return JSON.stringify(JSON.parse(text), null, 2);
  } catch {
    return text;
  }
}

/**
 * Creates a row that expands to show details.
 *
 * @param lines elements of the summary
 * @param draw draws an item's details into an element when the row is opened, and on each update while it is open
 */
export function expandableRow(lines, draw) {
  const body = el("div", { class: "body" });
  const summary = el("summary", {}, ...lines);
  const details = el("details", {}, summary, body);
  let item = null;
  const show = () => details.open && item && draw(body, item);
  details.addEventListener("toggle", show);
  const update = (next) => {
    item = next;
    show();
  };
  return { details, summary, update };
}

/** Draws a list of [label, text] pairs into an element, reusing a list with the same labels. */
export function drawFields(parent, name, pairs) {
  const shown = pairs.filter(([, text]) => text !== null && text !== undefined && text !== "");
  const labels = shown.map(([label]) => label).join("\n");
  let list = parent.querySelector(`[data-fields="${name}"]`);
  if (!list || list.dataset.labels !== labels) {
    const newList = el("dl", { "data-fields": name, "data-labels": labels });
    for (const [label] of shown) newList.append(el("div", {}, el("dt", {}, ...breakable(label)), el("dd")));
    if (list) list.replaceWith(newList);
    else parent.append(newList);
    list = newList;
  }
  const values = list.querySelectorAll("dd");
  shown.forEach(([, text], index) => setText(values[index], String(text)));
}

/** Allows line breaks before each capitalized word of a name: Worker|Previous|Activity|Name. */
const breakable = (name) => name.split(/(?=[A-Z][a-z])/).flatMap((part) => [el("wbr"), part]);

/** Draws preformatted text with a heading. Screen readers announce the label "`name` of `owner`". */
export function drawPreformatted(parent, name, owner, text) {
  let pre = parent.querySelector(`[data-block="${name}"]`);
  if (!pre) {
    const label = `${name} of ${owner}`;
    pre = el("pre", { "data-block": name, tabindex: "0", role: "region", "aria-label": label });
    parent.append(el("h3", {}, name), pre);
  }
  setText(pre, text);
}

/**
 * Creates a button for an action on the row's item. The button ignores clicks while the action is running.
 *
 * @param text text of the button
 * @param run (item) => Promise: the action
 * @param nextFocus gets the focus when the focused button is hidden
 */
export function action(text, run, nextFocus, className = "") {
  const button = el("button", { type: "button", class: className }, text);
  let item = null;
  button.addEventListener("click", () => runUnlessBusy(button, () => run(item)));
  const update = (next, shown, label) => {
    item = next;
    button.setAttribute("aria-label", label);
    setShown(button, shown, nextFocus);
  };
  return { button, update };
}

/** Runs an action unless it is already running. The button stays focusable while the action is running. */
export async function runUnlessBusy(button, run) {
  if (button.getAttribute("aria-disabled") === "true") return;
  button.setAttribute("aria-disabled", "true");
  try {
    await run();
  } finally {
    button.removeAttribute("aria-disabled");
  }
}
