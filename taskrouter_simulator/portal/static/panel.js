// A section of the page: heading, count, filter, and a limited number of rows.

import { byId, el, setShown, setText } from "./dom.js";
import { KindSwitch } from "./kinds.js";
import { KeyedList } from "./list.js";

const MORE_ROWS = 100; // rows added by each click on the Show more button

export class Panel {
  #items = [];
  #total = 0;
  #limit;
  #shown;
  #query = "";
  #totals = {};
  #kinds;

  /**
   * @param id id of the section
   * @param name name in the navigation
   * @param limit number of rows shown initially
   * @param make see KeyedList
   * @param key see KeyedList
   * @param text returns the text searched by the section's filter, if it has a filter
   */
  constructor({ id, name, limit, make, key, text }) {
    this.#limit = this.#shown = limit;
    const section = byId(id);
    this.heading = section.querySelector("h2");
    this.empty = section.querySelector(".empty");
    this.more = section.querySelector(".more");
    this.emptyNote = this.empty.textContent;
    this.count = el("span", { class: "count" });
    byId("sections").append(
      el("li", {}, el("a", { href: `#${this.heading.id}` }, `${name} `, this.count)),
    );
    this.text = text;
    section.querySelector("input[type=search]")?.addEventListener("input", (event) => {
      this.#filter(event.target.value);
    });
    const kinds = section.querySelector(".kinds");
    if (kinds) this.#kinds = new KindSwitch(kinds, () => this.#restart());
    this.list = new KeyedList(section.querySelector(".rows"), make, key, this.heading);
    this.more.addEventListener("click", () => this.#showMore());
  }

  /** Shows the items; `total` and `totals` (by kind) include items that are not in the overview. */
  update(items, total = items.length, totals = {}) {
    this.#items = items;
    this.#total = total;
    this.#totals = totals;
    this.#kinds?.update(total, totals);
    setText(this.count, String(total));
    this.count.dataset.count = total;
    this.#draw();
  }

  tick() {
    this.list.tick();
  }

  #filter(query) {
    this.#query = query.trim().toLowerCase();
    this.#restart();
  }

  #restart() {
    this.#shown = this.#limit;
    this.#draw();
  }

  #draw() {
    const query = this.#query;
    const matches = (item) => this.text(item).toLowerCase().includes(query);
    const kind = this.#kinds?.selected;
    const items = kind ? this.#items.filter((item) => item.kind === kind) : this.#items;
    const selected = query ? items.filter(matches) : items;
    this.list.update(selected.slice(0, this.#shown));
    const hiddenCount = Math.max(0, selected.length - this.#shown);
    setText(this.more, `Show ${Math.min(hiddenCount, MORE_ROWS)} more of ${selected.length}`);
    setShown(this.more, hiddenCount > 0, this.heading);
    const omittedCount = (kind ? this.#totals[kind] : this.#total) - items.length;
    const notes = [];
    if (!selected.length) notes.push(this.#items.length ? "Nothing matches the filter." : this.emptyNote);
    if (omittedCount) notes.push(`${omittedCount} older ${omittedCount > 1 ? "items are" : "item is"} not listed.`);
    if (omittedCount && this.#kinds) notes.push("Each kind has its own limit.");
    setText(this.empty, notes.join(" "));
    this.empty.hidden = !notes.length;
  }

  #showMore() {
    this.#shown += MORE_ROWS;
    this.#draw();
  }
}
