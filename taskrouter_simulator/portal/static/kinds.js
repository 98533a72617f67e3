// Buttons that filter a list by kind of item, each with the number of items of that kind.

import { el, setText } from "./dom.js";

export class KindSwitch {
  #buttons = new Map();

  /**
   * @param group element that contains the buttons; its id is the key under which the chosen kind is stored
   * @param onChoose is called after each click on a button
   */
  constructor(group, onChoose) {
    this.group = group;
    this.onChoose = onChoose;
    this.selected = sessionStorage.getItem(group.id) ?? ""; // "" means all kinds
  }

  /** Shows the number of all items and the number of items of each kind. */
  update(total, totals) {
    for (const [kind, count] of Object.entries({ "": total, ...totals })) {
      if (!this.#buttons.has(kind)) this.#add(kind);
      setText(this.#buttons.get(kind).querySelector(".count"), String(count));
    }
  }

  #add(kind) {
    const count = el("span", { class: "count" });
    const pressed = String(kind === this.selected);
    const button = el("button", { type: "button", "aria-pressed": pressed }, `${kind || "all"} `, count);
    button.addEventListener("click", () => this.#choose(kind));
    this.#buttons.set(kind, button);
    this.group.append(button);
  }

  #choose(chosen) {
    this.selected = chosen;
    sessionStorage.setItem(this.group.id, chosen);
    for (const [kind, button] of this.#buttons) button.setAttribute("aria-pressed", String(kind === chosen));
    this.onChoose();
  }
}
