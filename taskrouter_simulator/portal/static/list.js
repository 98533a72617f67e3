// A list whose rows live as long as their items: an update keeps focus, selection and open details.

export class KeyedList {
  #rows = new Map();

  /**
   * @param parent the element that holds the rows
   * @param make makes a row, {node, update(item), tick?()}, from an item
   * @param key tells an item's identity
   * @param heir gets the focus when the row that has it goes away
   */
  constructor(parent, make, key, heir) {
    this.parent = parent;
    this.make = make;
    this.key = key;
    this.heir = heir;
  }

  /** Shows `items`, in their order. */
  update(items) {
    const wanted = new Set(items.map(this.key));
    for (const [key, row] of this.#rows) if (!wanted.has(key)) this.#remove(key, row);
    let next = null;
    for (const item of items.toReversed()) {
      const row = this.#row(item);
      // a row that is in its place is not touched: moving it would take its focus away
      if (row.node.parentNode !== this.parent || row.node.nextSibling !== next) {
        this.parent.insertBefore(row.node, next);
      }
      next = row.node;
    }
  }

  /** Lets each row show what time it is. */
  tick() {
    for (const row of this.#rows.values()) row.tick?.();
  }

  #row(item) {
    const key = this.key(item);
    if (!this.#rows.has(key)) this.#rows.set(key, this.make(item));
    const row = this.#rows.get(key);
    if (row.item !== item) row.update(item);
    row.item = item;
    return row;
  }

  #remove(key, row) {
    const held = row.node.contains(document.activeElement);
    row.node.remove();
    this.#rows.delete(key);
    if (held) this.heir?.focus();
  }
}
