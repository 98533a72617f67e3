// Tasks: what is to be done, how long it has waited, who does it.

import { el, setPill, setText } from "./dom.js";
import { action, block, facts, openable, pretty, short } from "./row.js";
import { duration, moment, now } from "./time.js";

const TONES = {
  pending: "amber",
  reserved: "blue",
  assigned: "green",
  wrapping: "violet",
  canceled: "red",
};
const WAITING = ["pending", "reserved"];
const TAKEN = ["assigned", "wrapping"];

/** @param ask (task, form) => Promise: updates the Task by REST */
export function taskRow(ask) {
  return () => {
    const pill = el("span", { class: "pill" });
    const sid = el("code", { class: "sid" });
    const priority = el("span", { class: "priority" });
    const age = el("span", { class: "age" });
    const attributes = el("code", { class: "clip" });
    const where = el("span", { class: "clip where" });
    const { details, summary, update } = openable(
      [
        el("span", { class: "line" }, pill, sid, priority, age),
        el("span", { class: "line" }, attributes),
        el("span", { class: "line" }, where),
      ],
      draw,
    );
    const move = (status) => (one) => ask(one, { AssignmentStatus: status });
    const complete = action("Complete", move("completed"), summary);
    const cancel = action("Cancel", move("canceled"), summary);
    let task = null;
    const tick = () => setText(age, duration(now() - task.created));
    return {
      node: el("li", {}, details, el("div", { class: "actions" }, complete.button, cancel.button)),
      tick,
      update(next) {
        task = next;
        setPill(pill, task.status, TONES[task.status] ?? "grey");
        setText(sid, short(task.sid));
        setText(priority, `prio ${task.priority}`);
        setText(attributes, task.attributes);
        const people = task.workers.join(", ");
        setText(where, [task.queue ?? "in no TaskQueue", people, task.reason].filter(Boolean).join(" · "));
        complete.update(task, TAKEN.includes(task.status), `Complete Task ${short(task.sid)}`);
        cancel.update(task, WAITING.includes(task.status), `Cancel Task ${short(task.sid)}`);
        update(task);
        tick();
      },
    };
  };
}

/** The text that the filter looks into. */
export const taskText = (task) =>
  [task.sid, task.status, task.attributes, task.queue, task.workflow, ...task.workers].join("\n");

function draw(body, task) {
  facts(body, "task", [
    ["Task SID", task.sid],
    ["Status", task.status],
    ["Reason", task.reason],
    ["Priority", task.priority],
    ["Worker", task.workers.join(", ")],
    ["TaskQueue", task.queue],
    ["Workflow", task.workflow],
    ["TaskChannel", task.channel],
    ["Created", moment(task.created)],
    ["Updated", moment(task.updated)],
    ["May wait", duration(task.timeout)],
  ]);
  block(body, "Attributes", `Task ${short(task.sid)}`, pretty(task.attributes));
}
