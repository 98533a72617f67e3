// A section of the page: heading, count, rows, and no more rows than one can look at.

import { byId, el, setShown, setText } from "./dom.js";
import { KeyedList } from "./list.js";

const MORE = 100;

export class Panel {
  #items = [];
  #total = 0;
  #limit;
  #shown;
  #wanted = "";

  /**
   * @param id of the section
   * @param name as the navigation calls it
   * @param limit how many rows are shown until more are asked for
   * @param make see KeyedList
   * @param key see KeyedList
   * @param text makes the text that the section's filter looks into, where it has one
   */
  constructor({ id, name, limit, make, key, text }) {
    this.#limit = this.#shown = limit;
    const section = byId(id);
    this.heading = section.querySelector("h2");
    this.empty = section.querySelector(".empty");
    this.more = section.querySelector(".more");
    this.nothing = this.empty.textContent;
    this.count = el("span", { class: "count" });
    byId("sections").append(
      el("li", {}, el("a", { href: `#${this.heading.id}` }, `${name} `, this.count)),
    );
    this.text = text;
    section.querySelector("input[type=search]")?.addEventListener("input", (event) => {
      this.#filter(event.target.value);
    });
    this.list = new KeyedList(section.querySelector(".rows"), make, key, this.heading);
    this.more.addEventListener("click", () => this.#showMore());
  }

  /** Shows the items; `total` counts those too that the overview leaves out. */
  update(items, total = items.length) {
    this.#items = items;
    this.#total = total;
    setText(this.count, String(total));
    this.count.dataset.count = total;
    this.#draw();
  }

  tick() {
    this.list.tick();
  }

  #filter(wanted) {
    this.#wanted = wanted.trim().toLowerCase();
    this.#shown = this.#limit;
    this.#draw();
  }

  #draw() {
    const wanted = this.#wanted;
    const matches = (item) => this.text(item).toLowerCase().includes(wanted);
    const chosen = wanted ? this.#items.filter(matches) : this.#items;
    this.list.update(chosen.slice(0, this.#shown));
    const hidden = Math.max(0, chosen.length - this.#shown);
    setText(this.more, `Show ${Math.min(hidden, MORE)} more of ${chosen.length}`);
    setShown(this.more, hidden > 0, this.heading);
    const left = this.#total - this.#items.length;
    let note = left ? `${left} older ones are not shown.` : "";
    if (!chosen.length) note = this.#items.length ? "Nothing matches the filter." : this.nothing;
    setText(this.empty, note);
    this.empty.hidden = !note || (hidden > 0 && chosen.length > 0);
  }

  #showMore() {
    this.#shown += MORE;
    this.#draw();
  }
}
