// Shows log entries: alerts, and callbacks with their requests and responses.

import { el, setPill, setText } from "./dom.js";
import { drawFields, drawPreformatted, expandableRow, formatJson, shortenSid } from "./row.js";
import { formatDateTime, formatTime } from "./time.js";

const REQUEST = ["method", "url", "headers", "parameters"];
const RESPONSE = ["status", "content_type", "answer", "answer_length", "error", "seconds"];
const COMMON = ["id", "at", "kind"];
const TONES = { assignment: "blue", fallback: "amber", event: "gray", twiml: "green", status: "gray" };

export function callbackRow(entry) {
  const pill = el("span", { class: "pill" });
  const subject = el("code", { class: "clip sid" });
  const time = el("span", { class: "age" });
  const result = el("span", { class: "pill" });
  const duration = el("span", { class: "duration" });
  const content = el("code", { class: "clip content" }, (entry.error || entry.answer || "").slice(0, 200));
  const { details, update } = expandableRow(
    [el("span", { class: "line entry" }, pill, subject, result, duration, time, content)],
    drawCallback,
  );
  setPill(pill, entry.kind, TONES[entry.kind] ?? "gray");
  const { EventType, ReservationSid, CallSid } = entry.parameters ?? {};
  setText(subject, EventType ?? shortenSid(ReservationSid ?? CallSid));
  setText(time, formatTime(entry.at));
  const succeeded = entry.status >= 200 && entry.status < 300;
  setPill(result, entry.status ? String(entry.status) : "no response", succeeded ? "green" : "red");
  setText(duration, formatMilliseconds(entry.seconds));
  return { node: el("li", {}, details), update };
}

function formatMilliseconds(seconds) {
  return typeof seconds === "number" ? `${Math.round(seconds * 1000)} ms` : "";
}

function drawCallback(body, entry) {
  if (body.firstChild) return;
  body.append(el("h3", {}, "Request"));
  drawFields(body, "request", [
    [entry.method, entry.url],
    ["Sent", formatDateTime(entry.at)],
    ...Object.entries(entry.headers ?? {}),
    ...otherFields(entry, [...COMMON, ...REQUEST, ...RESPONSE]),
  ]);
  body.append(el("h3", {}, "Parameters"));
  drawFields(body, "parameters", Object.entries(entry.parameters ?? {}));
  body.append(el("h3", {}, "Response"));
  drawFields(body, "response", [
    ["Status", entry.status],
    ["Error", entry.error],
    ["Content-Type", entry.content_type],
    ["Took", formatMilliseconds(entry.seconds)],
  ]);
  if (entry.answer) drawPreformatted(body, "Body", `response ${entry.id} at ${formatTime(entry.at)}`, responseText(entry));
}

function responseText({ answer, answer_length: length }) {
  return length ? `${answer}\n… truncated; ${length} characters in total` : formatJson(answer);
}

export function alertRow(entry) {
  const { details, update } = expandableRow(
    [
      el(
        "span",
        { class: "line" },
        el("span", { class: "pill", "data-tone": entry.level === "error" ? "red" : "amber" }, entry.level),
        el("strong", {}, String(entry.code)),
        el("span", { class: "age" }, formatTime(entry.at)),
      ),
      el("span", { class: "line wrap" }, entry.message),
    ],
    drawAlert,
  );
  return { node: el("li", {}, details), update };
}

function drawAlert(body, entry) {
  if (body.firstChild) return;
  drawFields(body, "alert", [["Raised", formatDateTime(entry.at)], ...otherFields(entry, [...COMMON, "code", "level", "message"])]);
  const page = `https://www.twilio.com/docs/api/errors/${Number(entry.code)}`;
  const link = el("a", { href: page, target: "_blank", rel: "noopener noreferrer" }, `Twilio's page on error ${entry.code}`);
  body.append(el("p", {}, link));
}

/** Returns the fields of an entry that are not shown elsewhere. */
function otherFields(entry, excluded) {
  return Object.entries(entry)
    .filter(([name, value]) => value !== null && !excluded.includes(name))
    .map(([name, value]) => [name, typeof value === "object" ? JSON.stringify(value) : value]);
}
