// Exports the Reservations listed in History to a CSV file.

import { call } from "./actions.js";
import { requestedPause } from "./api.js";
import { matcher } from "./filter.js";
import { number, taskTitle } from "./format.js";
import { historyQuery, parametersOf } from "./history.js";
import { failureReason } from "./inspection.js";
import { changed, state } from "./state.js";
import { text } from "./texts.js";
import { isUnfinished } from "./timeline.js";
import { after } from "./timer.js";

const EXPORT_PAGE = 100;
export const MAX_EXPORTED = 10_000;
/** Maximum number of consecutive retries of a throttled or failed request. */
export const MAX_RETRIES = 5;

const COLUMNS = [
  ...["reservation_sid", "task_sid", "worker_sid", "worker_name", "workflow_sid", "workflow_name", "task_queue_sid"],
  ...["task_queue_name", "task_channel_name", "status", "reserved_at", "expires_at", "accepted_by", "instruction"],
];

/**
 * Return a value as a quoted field.
 *
 * Spreadsheets interpret a cell that begins with one of = + - @ tab CR LF as a formula (OWASP, "CSV Injection"). Some
 * may also accept the full-width forms of these characters, or ignore white space, control characters or invisible
 * characters before them. A leading apostrophe makes the cell plain text. In locales whose list separator is a
 * semicolon, some spreadsheets also begin a new cell after each semicolon and line break, even inside quotes, and may
 * remove quotes at the cell's beginning.
 */
function csvField(value) {
  const content = typeof value === "string" ? value : JSON.stringify(value ?? "").replace(/^""$/, "");
  const safe = content.replace(/(?<=^|[;\r\n])"*(?!")(?=[\t\r\0]|(?:(?![\r\n])[\s"\p{Cc}\p{Cf}])*[=+\-@＝＋－＠])|^(?=\n)/gu, "$&'");
  return `"${safe.replaceAll('"', '""')}"`;
}

const line = (values) => `${values.map(csvField).join(",")}\r\n`;

/** Return the file. Excel recognizes UTF-8 only if the file begins with a byte order mark. */
function csvFile(reservations) {
  const names = ["title", ...COLUMNS, "accepted_at", "ended_at", "ended_by", "task_attributes"];
  const values = (each) => {
    const history = each.history ?? [];
    const acceptance = history.find(({ to }) => to === "accepted");
    const end = isUnfinished(each) ? null : history.at(-1);
    const title = taskTitle(each, state.inbox.titleAttributes);
    return [title, ...COLUMNS.map((name) => each[name]), acceptance?.at, end?.at, end?.by, each.task_attributes];
  };
  return new Blob(["\uFEFF", line(names), ...reservations.map((each) => line(values(each)))], { type: "text/csv;charset=utf-8" });
}

/** Return whether a repeated request may succeed: no response arrived, or the service was busy or failed. */
export const isTemporary = (response) => response === undefined || response?.status === 429 || response?.status >= 500;

const pause = (seconds) => new Promise((resolve) => after(seconds * 1000, resolve));

/** Load pages up to the end of the list or the limit, and save the file, unless the export fails or the user cancels it. */
export async function exportHistory() {
  const job = { count: 0, isRunning: true, result: null };
  state.exporting = job;
  changed();
  // The user may change the list during the export. A cursor is valid only for the query that returned it.
  const query = historyQuery();
  const matches = matcher();
  const exported = new Map();
  let cursor = "";
  let retries = 0;
  while (state.exporting === job && exported.size < MAX_EXPORTED && cursor !== null) {
    const response = state.session && (await call("GET", `reservations?${parametersOf(query, cursor, EXPORT_PAGE)}`).catch(() => undefined));
    if (state.exporting !== job) {
      return;
    }
    if (response?.status === 200) {
      response.body.reservations.filter(matches).forEach((each) => exported.set(each.reservation_sid, each));
      cursor = response.body.next_cursor;
      retries = 0;
      job.count = Math.min(MAX_EXPORTED, exported.size);
    } else if (response === null) {
      // The session has ended. Continue in the user's next session.
      await pause(1);
    } else if (retries < MAX_RETRIES && isTemporary(response)) {
      retries += 1;
      await pause(Math.max(retries, requestedPause(response) / 1000));
    } else {
      finishExport(job, () => text("exportFailed", { reason: failureReason(response) }));
      return;
    }
    changed();
  }
  if (state.exporting === job) {
    const isLimited = exported.size > MAX_EXPORTED || cursor;
    const count = job.count;
    save(csvFile([...exported.values()].slice(0, MAX_EXPORTED)));
    finishExport(job, () => text(isLimited ? "exportLimited" : "exported", { n: number(count) }));
  }
}

function finishExport(job, result) {
  Object.assign(job, { isRunning: false, result });
  changed();
}

export function cancelExport() {
  state.exporting = null;
  changed();
}

function save(file) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(file);
  link.download = `reservations-${new Date().toISOString().slice(0, 19).replaceAll(":", "")}Z.csv`;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}
