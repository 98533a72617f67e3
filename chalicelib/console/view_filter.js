// The field for the filter of the Inbox and of History.

import { clearFilter, filterText, setFilter } from "./filter.js";
import { moveSelection } from "./keys.js";
import { preferences } from "./preferences.js";
import { text } from "./texts.js";
import { html } from "./view.js";

/** Escape clears the filter or, if the field is empty, leaves the field. Enter moves to the selected row if it is shown, otherwise to the first row. */
function handleFilterKey(event) {
  if (event.key === "Enter") {
    event.preventDefault();
    event.target.blur();
    moveSelection(0);
  } else if (event.key === "Escape") {
    event.preventDefault();
    (filterText() ? clearFilter : () => event.target.blur())();
  }
}

export function filterField() {
  return html`<label class="filter">
    <span class="vh">${text("filter")}</span>
    <input
      id="filter"
      type="search"
      autocomplete="off"
      spellcheck="false"
      placeholder=${text("filterHint")}
      value=${filterText()}
      aria-keyshortcuts=${preferences.shortcuts ? "/" : null}
      onInput=${({ target }) => setFilter(target.value)}
      onKeyDown=${handleFilterKey}
    />
    ${preferences.shortcuts && !filterText() && html`<kbd aria-hidden="true">/</kbd>`}
  </label>`;
}
