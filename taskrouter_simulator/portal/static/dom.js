// Elements are made from text and attributes, never from markup: what a Task says is not code.

/** Makes an element; attributes that are null or false are left out. */
export function el(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== null && value !== false) node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children);
  return node;
}

export const byId = (id) => document.getElementById(id);

/** Sets a text only where it differs, so that a selection in it outlives an update. */
export function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

/** Shows a status as a coloured word. */
export function setPill(node, text, tone) {
  setText(node, text);
  if (node.dataset.tone !== tone) node.dataset.tone = tone;
}

/** Hides or shows; a focus inside what goes moves to `heir`, else the keyboard would lose its place. */
export function setShown(node, shown, heir) {
  if (node.hidden === !shown) return;
  const held = node.contains(document.activeElement);
  node.hidden = !shown;
  if (!shown && held) heir.focus();
}

/** Makes the options of a select those of `items` ({sid, name}), and keeps the choice. */
export function setOptions(select, items) {
  const wanted = items.map((one) => `${one.sid} ${one.name}`).join("\n");
  if (select.dataset.options === wanted) return;
  const chosen = select.value;
  select.replaceChildren(...items.map((one) => el("option", { value: one.sid }, one.name)));
  select.dataset.options = wanted;
  if (items.some((one) => one.sid === chosen)) select.value = chosen;
}
