// Shows TaskQueues with their numbers of Workers and waiting Tasks.

import { el, setText } from "./dom.js";
import { drawFields, expandableRow } from "./row.js";

export function queueRow() {
  const name = el("strong");
  const expression = el("code", { class: "clamp" });
  const load = el("span", { class: "detail" });
  const { details, update } = expandableRow([name, expression, load], draw);
  return {
    node: el("li", {}, details),
    update(queue) {
      setText(name, queue.name);
      setText(expression, queue.target_workers || "no expression: matches no Worker");
      const waiting = queue.tasks.pending ?? 0;
      setText(
        load,
        `${waiting} waiting · ${queue.available_workers} of ${queue.workers} Workers available`,
      );
      update(queue);
    },
  };
}

function draw(body, queue) {
  drawFields(body, "queue", [
    ["TaskQueue SID", queue.sid],
    ["Target Workers", queue.target_workers],
    ["Workers", `${queue.workers}, ${queue.available_workers} available`],
    ...Object.entries(queue.tasks).map(([status, count]) => [`Tasks ${status}`, count]),
  ]);
}
