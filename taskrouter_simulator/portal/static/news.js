// Says in a sentence what the last update changed, for those who listen and those who glance.

import { short } from "./row.js";

const MOST = 3;

/** The sentences that lead from one overview to the next; none between two Workspaces. */
export function news(before, after) {
  if (!before?.workspace || before.workspace.sid !== after.workspace?.sid) return "";
  const sentences = [
    ...changed(before.workspace.tasks, after.workspace.tasks, task),
    ...changed(before.workspace.workers, after.workspace.workers, worker(after.workspace)),
    ...fresh(before.callbacks, after.callbacks).map(callback),
    ...fresh(before.alerts, after.alerts).map((one) => `Alert ${one.code}: ${one.message}`),
  ].filter(Boolean);
  const rest = sentences.length - MOST;
  return sentences.slice(0, MOST).join(" ") + (rest > 0 ? ` And ${rest} more changes.` : "");
}

function changed(before, after, tell) {
  const known = new Map(before.map((one) => [one.sid, one]));
  return after.map((one) => tell(known.get(one.sid), one)).reverse();
}

function fresh(before, after) {
  const newest = before[0]?.id ?? 0;
  return after.filter((one) => one.id > newest).reverse();
}

function task(before, { sid, status, workers }) {
  if (before?.status === status) return "";
  const who = status === "reserved" || status === "assigned" ? ` ${link(status)} ${workers.join(", ")}` : "";
  return `Task ${short(sid)} is ${status}${who}.`;
}

const link = (status) => (status === "reserved" ? "for" : "to");

function worker(workspace) {
  const name = (sid) => workspace.activities.find((one) => one.sid === sid)?.name;
  return (before, one) =>
    before && before.activity_sid !== one.activity_sid ? `${one.name} is ${name(one.activity_sid)}.` : "";
}

function callback(entry) {
  const what = entry.kind === "event" ? `Event ${entry.parameters?.EventType}` : `The ${entry.kind} callback`;
  return `${what} got ${entry.status ?? "no answer"}.`;
}
