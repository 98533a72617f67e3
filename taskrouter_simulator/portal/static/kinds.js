// Buttons that select one kind of item, each with the number of its items.

import { el, setText } from "./dom.js";

export class KindSwitch {
  #counts = new Map();

  /**
   * @param group element that contains the buttons
   * @param kinds [kind, name] pairs
   * @param onChoose is called when `selected` changes
   */
  constructor(group, kinds, onChoose) {
    this.selected = ""; // all kinds
    for (const [kind, name] of [["", "All"], ...kinds]) {
      const count = el("span", { class: "count" });
      const button = el("button", { type: "button", "aria-pressed": String(!kind) }, `${name} `, count);
      button.addEventListener("click", () => {
        this.selected = kind;
        for (const other of group.children) other.setAttribute("aria-pressed", String(other === button));
        onChoose();
      });
      this.#counts.set(kind, count);
      group.append(button);
    }
  }

  /** Shows the number of all items and the number of items of each kind. */
  update(total, totals) {
    for (const [kind, count] of this.#counts) setText(count, String(kind ? totals[kind] : total));
  }
}
