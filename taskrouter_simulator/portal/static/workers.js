// Workers, each with a switch of as many positions as the Workspace has Activities.

import { el, setPill, setShown, setText } from "./dom.js";
import { KeyedList } from "./list.js";
import { block, busy, facts, openable, pretty } from "./row.js";
import { duration, moment, now } from "./time.js";

const sidOf = (one) => one.sid;

/**
 * @param ask (worker, form) => Promise: updates the Worker by REST
 * @param activities () => the Workspace's Activities
 */
export function workerRow(ask, activities) {
  return () => {
    const name = el("strong", { class: "clip" });
    const pill = el("span", { class: "pill" });
    const tasks = el("span", { class: "holds" });
    const since = el("span", { class: "age" });
    const { details, update } = openable(
      [el("span", { class: "line" }, name, pill, tasks, since)],
      draw,
    );
    let worker = null;
    const tick = () => setText(since, duration(now() - worker.activity_changed));
    const group = el("div", { class: "switch", role: "group" });
    const positions = new KeyedList(
      group,
      () => position((activity) => ask(worker, { ActivitySid: activity.sid }), () => worker),
      sidOf,
      details.firstChild,
    );
    return {
      node: el("li", {}, details, group),
      tick,
      update(next) {
        worker = next;
        const current = activities().find((one) => one.sid === worker.activity_sid);
        setText(name, worker.name);
        setPill(pill, "available", "green");
        setShown(pill, current.available, details.firstChild);
        setText(tasks, worker.tasks ? `${worker.tasks} Task${worker.tasks > 1 ? "s" : ""}` : "");
        group.setAttribute("aria-label", `Activity of ${worker.name}`);
        // copies, so that each position sees the Worker's change in an Activity that is the same
        positions.update(activities().map((one) => ({ ...one })));
        update({ ...worker, activity: current.name });
        tick();
      },
    };
  };
}

function position(choose, worker) {
  const button = el("button", { type: "button" });
  let activity = null;
  button.addEventListener("click", () => busy(button, () => choose(activity)));
  return {
    node: button,
    update(next) {
      activity = next;
      setText(button, activity.name);
      button.setAttribute("aria-pressed", String(worker().activity_sid === activity.sid));
    },
  };
}

function draw(body, worker) {
  facts(body, "worker", [
    ["Worker SID", worker.sid],
    ["Activity", worker.activity],
    ["Activity SID", worker.activity_sid],
    ["Since", moment(worker.activity_changed)],
  ]);
  block(body, "Attributes", worker.name, pretty(worker.attributes));
}
