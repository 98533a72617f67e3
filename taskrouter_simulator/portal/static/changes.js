// Describes the last update in a few sentences, which screen readers announce.

import { shortenSid } from "./row.js";

const MAX_SENTENCES = 3;

/** Describes the changes between two overviews; returns "" if they show different Workspaces. */
export function describeChanges(before, after) {
  if (!before?.workspace || before.workspace.sid !== after.workspace?.sid) return "";
  const sentences = [
    ...describeEach(before.workspace.tasks, after.workspace.tasks, describeTask),
    ...describeEach(before.workspace.workers, after.workspace.workers, workerDescriber(after.workspace)),
    ...added(before.callbacks, after.callbacks).map(describeCallback),
    ...added(before.alerts, after.alerts).map(({ code, message }) => `Alert ${code}: ${message}`),
  ].filter(Boolean);
  const remaining = sentences.length - MAX_SENTENCES;
  return sentences.slice(0, MAX_SENTENCES).join(" ") + (remaining > 0 ? ` And ${remaining} more change${remaining > 1 ? "s" : ""}.` : "");
}

function describeEach(before, after, describe) {
  const previous = new Map(before.map((resource) => [resource.sid, resource]));
  return after.map((resource) => describe(previous.get(resource.sid), resource)).reverse();
}

function added(before, after) {
  const newestId = before[0]?.id ?? 0;
  return after.filter((entry) => entry.id > newestId).reverse();
}

function describeTask(before, { sid, status, workers }) {
  if (before?.status === status) return "";
  const preposition = { reserved: "for", assigned: "to" }[status];
  const names = preposition ? ` ${preposition} ${workers.join(", ")}` : "";
  return `Task ${shortenSid(sid)} is ${status}${names}.`;
}

function workerDescriber(workspace) {
  const activityName = (sid) => workspace.activities.find((activity) => activity.sid === sid)?.name;
  return (before, { activity_sid: sid, name }) =>
    before && before.activity_sid !== sid ? `${name} is ${activityName(sid)}.` : "";
}

function describeCallback(entry) {
  const succeeded = entry.status >= 200 && entry.status < 300;
  if (entry.kind === "event" && succeeded) return ""; // a single change often causes several events
  const name = entry.kind === "event" ? `The callback for ${entry.parameters?.EventType}` : `The ${entry.kind} callback`;
  return `${name} got ${entry.status ? `status ${entry.status}` : "no response"}.`;
}
