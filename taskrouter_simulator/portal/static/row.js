// Parts shared by all rows: a summary that expands to show details, and action buttons.

import { el, setShown, setText } from "./dom.js";

/** Shortens a SID to WT3f2a…9c1d. */
export const shortenSid = (sid) => (sid ? `${sid.slice(0, 6)}…${sid.slice(-4)}` : "");

/** Formats JSON text on several lines; returns any other text unchanged. */
export function formatJson(text) {
  try {
    return JSON.stringify(JSON.parse(text), null, 2);
  } catch {
    return text;
  }
}

/**
 * Creates a row that expands to show details. The details are drawn only while the row is open.
 *
 * @param lines elements of the summary
 * @param draw draws the details of an item into an element, initially and at each update
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
  let list = parent.querySelector(`[data-facts="${name}"]`);
  if (!list || list.dataset.labels !== labels) {
    const newList = el("dl", { "data-facts": name, "data-labels": labels });
    for (const [label] of shown) newList.append(el("div", {}, el("dt", {}, ...breakable(label)), el("dd")));
    if (list) list.replaceWith(newList);
    else parent.append(newList);
    list = newList;
  }
  const values = list.querySelectorAll("dd");
  shown.forEach(([, text], index) => setText(values[index], String(text)));
}

/** Lets a name wrap before a capital letter: WorkerPrevious|Activity|Name. */
const breakable = (name) => name.split(/(?=[A-Z][a-z])/).flatMap((part) => [el("wbr"), part]);

/** Draws preformatted text with a heading; `owner` completes its label for screen readers. */
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
 * Creates a button for an action on the row's item. The button ignores clicks while the action runs.
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

/** Runs an action unless it is running already; the button stays focusable meanwhile. */
export async function runUnlessBusy(button, run) {
  if (button.getAttribute("aria-disabled") === "true") return;
  button.setAttribute("aria-disabled", "true");
  try {
    await run();
  } finally {
    button.removeAttribute("aria-disabled");
  }
}
