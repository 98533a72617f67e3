// What all rows have: a line or three that open into details, and buttons beside them.

import { el, setShown, setText } from "./dom.js";

/** WT3f2a...9c1d: enough of a SID to tell it from its neighbours. */
export const short = (sid) => (sid ? `${sid.slice(0, 6)}…${sid.slice(-4)}` : "");

/** JSON text on several lines; any other text as it is. */
export function pretty(text) {
  try {
    return JSON.stringify(JSON.parse(text), null, 2);
  } catch {
    return text;
  }
}

/**
 * A row that can be opened. What it opens into is drawn only once it is open.
 *
 * @param lines the summary's elements
 * @param draw draws the details into an element, at first and at each update
 */
export function openable(lines, draw) {
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

/** Draws a list of facts, [name, text], into an element; what is there already stays. */
export function facts(parent, name, pairs) {
  const kept = pairs.filter(([, text]) => text !== null && text !== undefined && text !== "");
  const labels = kept.map(([label]) => label).join("\n");
  let list = parent.querySelector(`[data-facts="${name}"]`);
  if (!list || list.dataset.labels !== labels) {
    const fresh = el("dl", { "data-facts": name, "data-labels": labels });
    for (const [label] of kept) fresh.append(el("div", {}, el("dt", {}, ...breakable(label)), el("dd")));
    if (list) list.replaceWith(fresh);
    else parent.append(fresh);
    list = fresh;
  }
  const values = list.querySelectorAll("dd");
  kept.forEach(([, text], index) => setText(values[index], String(text)));
}

/** A name that may break before a capital: WorkerPrevious|Activity|Name. */
const breakable = (name) => name.split(/(?=[A-Z][a-z])/).flatMap((part) => [el("wbr"), part]);

/** Draws a named piece of text, of somebody or something, that keeps its lines. */
export function block(parent, name, owner, text) {
  let pre = parent.querySelector(`[data-block="${name}"]`);
  if (!pre) {
    const label = `${name} of ${owner}`;
    pre = el("pre", { "data-block": name, tabindex: "0", role: "region", "aria-label": label });
    parent.append(el("h3", {}, name), pre);
  }
  setText(pre, text);
}

/**
 * A button that does something with the row's item. While it works it takes no second press; once
 * it is of no use it goes, and the row keeps the focus.
 *
 * @param text on the button
 * @param run (item) => Promise
 * @param heir gets the focus
 */
export function action(text, run, heir, className = "") {
  const button = el("button", { type: "button", class: className }, text);
  let item = null;
  button.addEventListener("click", () => busy(button, () => run(item)));
  const update = (next, useful, label) => {
    item = next;
    button.setAttribute("aria-label", label);
    setShown(button, useful, heir);
  };
  return { button, update };
}

/** Runs something once at a time for a button, which keeps its focus meanwhile. */
export async function busy(button, run) {
  if (button.getAttribute("aria-disabled") === "true") return;
  button.setAttribute("aria-disabled", "true");
  try {
    await run();
  } finally {
    button.removeAttribute("aria-disabled");
  }
}
