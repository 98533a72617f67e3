// The export of History as a CSV file, for supervisors.

import { cancelExport, exportHistory } from "./csv.js";
import { state } from "./state.js";
import { text } from "./texts.js";
import { html } from "./view.js";

/** The export's progress or outcome, and the button that exports the list or cancels the export. */
export function exportTools(hasRows) {
  const { exporting: job } = state;
  const isRunning = Boolean(job?.isRunning);
  // The first click changes the button's function, so the second click of a double-click is ignored.
  const press = ({ detail }) => detail > 1 || (isRunning ? cancelExport() : exportHistory());
  return html`
    <p class="muted small num" role="status">${job && (isRunning ? text("exporting", { n: job.count }) : job.result())}</p>
    ${(hasRows || isRunning) && html`<button type="button" onClick=${press}>${text(isRunning ? "cancelExport" : "exportCsv")}</button>`}
  `;
}
