// Converts times, SIDs and Task attributes to readable text.

import { preferences } from "./preferences.js";
import { text } from "./texts.js";

const SID = /^[A-Z]{2}[0-9a-f]{32}$/;

/** Return a countdown, such as 0:07 or 1:02:03. */
export function countdown(milliseconds) {
  const seconds = Math.max(0, Math.ceil(milliseconds / 1000));
  const parts = [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60, seconds % 60];
  const [, ...rest] = parts.map((part) => String(part).padStart(2, "0"));
  return (parts[0] ? [parts[0], ...rest] : [parts[1], rest[1]]).join(":");
}

/** Replace spaces with no-break spaces, so that the text stays on one line. */
export const unbroken = (string) => string.replaceAll(" ", "\u00A0");

/** Return a duration with at most two units, such as 6 min 04 s. */
export const duration = (milliseconds) => unbroken(withUnits(milliseconds));

function withUnits(milliseconds) {
  const seconds = Math.max(0, Math.floor(milliseconds / 1000));
  const minutes = Math.floor(seconds / 60);
  const hours = Math.floor(minutes / 60);
  const padded = (count) => String(count).padStart(2, "0");
  if (hours) {
    return minutes % 60 ? `${hours} h ${padded(minutes % 60)} min` : `${hours} h`;
  }
  if (minutes) {
    return seconds % 60 ? `${minutes} min ${padded(seconds % 60)} s` : `${minutes} min`;
  }
  return `${seconds} s`;
}

/** Return a number, formatted for the user's language. */
export const number = (value, options) => new Intl.NumberFormat(preferences.language, options).format(value);

/** Return a duration. A duration shorter than 10 s has at most two significant digits, such as 0.41 s. */
export const shortDuration = (milliseconds) =>
  milliseconds < 10_000 ? `${number(milliseconds / 1000, { maximumSignificantDigits: 2 })}\u00A0s` : duration(milliseconds);

/** Return a local time of day, such as 10:42:25. */
export function timeOfDay(at) {
  const parts = { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" };
  return new Date(at).toLocaleTimeString(preferences.language, parts);
}

/** Return a local time, with the date if it is not today. */
export function dateAndTime(at) {
  const date = new Date(at);
  const isToday = date.toDateString() === new Date().toDateString();
  const day = date.toLocaleDateString(preferences.language, { day: "numeric", month: "short" });
  return isToday ? timeOfDay(at) : `${unbroken(day)}, ${timeOfDay(at)}`;
}

export const shortSid = (sid) => `${sid.slice(0, 6)}…${sid.slice(-4)}`;

/**
 * Make visible the characters that change the direction of text. Attributes may come from customers, and hidden
 * characters could make a value look like a different one.
 */
export const showControls = (string) =>
  string.replace(/[\u202A-\u202E\u2066-\u2069]/g, (character) => `[U+${character.codePointAt(0).toString(16).toUpperCase()}]`);

/** Return formatted JSON. */
export const prettyJson = (value) => showControls(JSON.stringify(value, null, 2));

/** Return the label of an attribute: selected_language becomes "Selected language", and call_sid "Call". */
export function label(name) {
  const shown = showControls(name)
    .replace(/([a-z0-9])([A-Z])(?=[a-z])/g, (_, end, start) => `${end} ${start.toLowerCase()}`)
    .replace(/[_-]+/g, " ")
    .trim()
    .replace(/ sid$/, "");
  return shown.charAt(0).toUpperCase() + shown.slice(1) || showControls(name);
}

const isObject = (value) => typeof value === "object" && value !== null && !Array.isArray(value);

/**
 * Return the attributes as [label, value] pairs. Each property of an object in an attribute becomes a separate
 * pair: {"account": {"tier": "gold"}} becomes ["Account tier", "gold"].
 */
export const fields = (attributes, path = "") =>
  Object.entries(attributes).flatMap(([name, value]) =>
    isObject(value) && Object.keys(value).length
      ? fields(value, `${path}${name} `)
      : [[label(`${path}${name}`), value]],
  );

const isTitleText = (value) => typeof value === "string" && value.trim() !== "" && !SID.test(value);

/** Return the text of an attribute's value, and whether the text needs a monospaced font. */
export function attributeText(value) {
  const { shown, isCode } = plainText(value);
  return { shown: showControls(shown), isCode };
}

function plainText(value) {
  if (typeof value === "boolean") {
    return { shown: text(value ? "yes" : "no"), isCode: false };
  }
  if (value === null || value === "") {
    return { shown: text("none"), isCode: false };
  }
  if (typeof value === "string") {
    return SID.test(value)
      ? { shown: shortSid(value), isCode: true }
      : { shown: value, isCode: false };
  }
  if (Array.isArray(value) && value.every((item) => typeof item !== "object")) {
    return { shown: value.join(", "), isCode: false };
  }
  return { shown: typeof value === "object" ? JSON.stringify(value) : String(value), isCode: typeof value === "object" };
}

/**
 * Return the parts of a Task's title: the attributes named in CONSOLE_TITLE_ATTRIBUTES or, if the Task has no such
 * attribute, its first two nonempty strings that are not SIDs. A single value is preceded by its attribute's
 * label, unless the setting names this attribute first. If the Task has no such string either, the title contains its SID.
 */
export const titleParts = (reservation, titleAttributes) => rawTitleParts(reservation, titleAttributes).map(showControls);

function rawTitleParts(reservation, titleAttributes) {
  const attributes = reservation.task_attributes ?? {};
  const named = titleAttributes.map((name) => attributes[name]);
  const nameOf = (value) => titleAttributes[named.indexOf(value)];
  const chosen = named.filter((value) => isTitleText(value) || ["number", "bigint"].includes(typeof value));
  if (chosen.length) {
    const isFirst = chosen[0] === named[0];
    return chosen.length > 1 || isFirst ? chosen.map(String) : [label(nameOf(chosen[0])), String(chosen[0])];
  }
  const texts = Object.entries(attributes).filter(([, value]) => isTitleText(value));
  if (texts.length === 1) {
    return [label(texts[0][0]), texts[0][1]];
  }
  return texts.length
    ? texts.slice(0, 2).map(([, value]) => value)
    : [text("task", { sid: shortSid(reservation.task_sid) })];
}

export const taskTitle = (reservation, titleAttributes) =>
  titleParts(reservation, titleAttributes).join(": ");

/** Return how urgent an offer is: calm, soon or last. */
export function urgency(timeLeft, timeout) {
  if (timeLeft <= Math.min(10_000, timeout / 5)) {
    return "last";
  }
  return timeLeft <= Math.min(30_000, timeout / 2) ? "soon" : "calm";
}
