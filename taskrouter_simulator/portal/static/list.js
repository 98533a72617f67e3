// A list that reuses the rows of its items, so an update keeps focus, selection and open details.

export class KeyedList {
  #rows = new Map();

  /**
   * @param parent element that contains the rows
   * @param make creates a row, {node, update(item), tick?()}, from an item
   * @param key returns the unique key of an item
   * @param nextFocus gets the focus when the focused row is removed
   */
  constructor(parent, make, key, nextFocus) {
    this.parent = parent;
    this.make = make;
    this.key = key;
    this.nextFocus = nextFocus;
  }

  /** Shows `items` in the given order. */
  update(items) {
    const keys = new Set(items.map(this.key));
    for (const [key, row] of this.#rows) if (!keys.has(key)) this.#remove(key, row);
    let next = null;
    for (const item of items.toReversed()) {
      const row = this.#row(item);
      // A row in the correct position is not moved, because moving it would lose the focus.
      if (row.node.parentNode !== this.parent || row.node.nextSibling !== next) {
        this.parent.insertBefore(row.node, next);
      }
      next = row.node;
    }
  }

  /** Updates the times shown in the rows. */
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
    const hadFocus = row.node.contains(document.activeElement);
    row.node.remove();
    this.#rows.delete(key);
    if (hadFocus) this.nextFocus?.focus();
  }
}
