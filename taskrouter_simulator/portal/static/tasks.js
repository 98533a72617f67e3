// Shows Tasks with their status, age, attributes, TaskQueue and Workers.

import { el, setPill, setText } from "./dom.js";
import { action, drawFields, drawPreformatted, expandableRow, formatJson, shortenSid } from "./row.js";
import { formatDateTime, formatDuration, now } from "./time.js";

const TONES = {
  pending: "amber",
  reserved: "blue",
  assigned: "green",
  wrapping: "violet",
  canceled: "red",
};
const WAITING = ["pending", "reserved"];
const ASSIGNED = ["assigned", "wrapping"];

/** @param change (task, form) => Promise: updates the Task through the REST API */
export function taskRow(change) {
  return () => {
    const pill = el("span", { class: "pill" });
    const sid = el("code", { class: "sid" });
    const age = el("span", { class: "age" });
    const attributes = el("code", { class: "clamp" });
    const detail = el("span", { class: "detail" });
    const { details, summary, update } = expandableRow(
      [
        el("span", { class: "line head" }, pill, sid, age),
        attributes,
        detail,
      ],
      draw,
    );
    const setStatus = (status) => (item) => change(item, { AssignmentStatus: status });
    const complete = action("Complete", setStatus("completed"), summary);
    const cancel = action("Cancel", setStatus("canceled"), summary);
    let task = null;
    const tick = () => setText(age, formatDuration(now() - task.created));
    return {
      node: el("li", {}, details, el("div", { class: "actions" }, complete.button, cancel.button)),
      tick,
      update(next) {
        task = next;
        setPill(pill, task.status, TONES[task.status] ?? "gray");
        setText(sid, shortenSid(task.sid));
        setText(attributes, task.attributes);
        const names = task.workers.join(", ");
        const priority = task.priority ? `priority\u00a0${task.priority}` : "";
        const parts = [task.queue ?? "no TaskQueue", names, priority, task.reason];
        setText(detail, parts.filter(Boolean).join(" · "));
        complete.update(task, ASSIGNED.includes(task.status), `Complete Task ${shortenSid(task.sid)}`);
        cancel.update(task, WAITING.includes(task.status), `Cancel Task ${shortenSid(task.sid)}`);
        update(task);
        tick();
      },
    };
  };
}

/** Returns the text searched by the filter. */
export const taskText = (task) =>
  [task.sid, task.status, task.attributes, task.queue, task.workflow, ...task.workers].join("\n");

function draw(body, task) {
  drawFields(body, "task", [
    ["Task SID", task.sid],
    ["Status", task.status],
    ["Reason", task.reason],
    ["Priority", task.priority],
    ["Worker", task.workers.join(", ")],
    ["TaskQueue", task.queue],
    ["Workflow", task.workflow],
    ["TaskChannel", task.channel],
    ["Created", formatDateTime(task.created)],
    ["Updated", formatDateTime(task.updated)],
    ["Timeout", formatDuration(task.timeout)],
  ]);
  drawPreformatted(body, "Attributes", `Task ${shortenSid(task.sid)}`, formatJson(task.attributes));
}
