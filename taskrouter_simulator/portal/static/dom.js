// Creates elements from text and attributes, never from markup, so data cannot inject code.

/** Creates an element; attributes that are null or false are omitted. */
export function el(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== null && value !== false) node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children);
  return node;
}

export const byId = (id) => document.getElementById(id);

/** Sets a node's text only if it differs, so that an update keeps a text selection. */
export function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

/** Shows a status as a colored label. */
export function setPill(node, text, tone) {
  setText(node, text);
  if (node.dataset.tone !== tone) node.dataset.tone = tone;
}

/** Shows or hides an element. If hiding the element removes the focus, `nextFocus` gets the focus. */
export function setShown(node, shown, nextFocus) {
  if (node.hidden === !shown) return;
  const hadFocus = node.contains(document.activeElement);
  node.hidden = !shown;
  if (!shown && hadFocus) nextFocus.focus();
}

/** Replaces the options of a select element with `items` ({sid, name}), and keeps the selection if possible. */
export function setOptions(select, items) {
  const options = items.map(({ sid, name }) => `${sid} ${name}`).join("\n");
  if (select.dataset.options === options) return;
  const selected = select.value;
  select.replaceChildren(...items.map(({ sid, name }) => el("option", { value: sid }, name)));
  select.dataset.options = options;
  if (items.some(({ sid }) => sid === selected)) select.value = selected;
}
