// Shows Workers, each with one button per Activity.

import { el, setPill, setShown, setText } from "./dom.js";
import { KeyedList } from "./list.js";
import { drawFields, drawPreformatted, expandableRow, formatJson, runUnlessBusy } from "./row.js";
import { formatDateTime, formatDuration, now } from "./time.js";

const sidOf = (resource) => resource.sid;

/**
 * @param change (worker, form) => Promise: updates the Worker through the REST API
 * @param getActivities () => Activities of the Workspace
 */
export function workerRow(change, getActivities) {
  return () => {
    const name = el("strong");
    const pill = el("span", { class: "pill" });
    const tasks = el("span", { class: "load" });
    const since = el("span", { class: "age" });
    const { details, update } = expandableRow(
      [el("span", { class: "line wrap" }, name, pill, tasks, since)],
      draw,
    );
    let worker = null;
    const tick = () => setText(since, formatDuration(now() - worker.activity_changed));
    const group = el("div", { class: "switch", role: "group" });
    const buttons = new KeyedList(
      group,
      () => activityButton((activity) => change(worker, { ActivitySid: activity.sid }), () => worker),
      sidOf,
      details.firstChild,
    );
    return {
      node: el("li", {}, details, group),
      tick,
      update(next) {
        worker = next;
        const current = getActivities().find(({ sid }) => sid === worker.activity_sid);
        setText(name, worker.name);
        setPill(pill, "available", "green");
        setShown(pill, current.available, details.firstChild);
        setText(tasks, worker.tasks ? `${worker.tasks} Task${worker.tasks > 1 ? "s" : ""}` : "");
        group.setAttribute("aria-label", `Activity of ${worker.name}`);
        // Copy the items, because a KeyedList skips unchanged items, but the Worker may have changed.
        buttons.update(getActivities().map((activity) => ({ ...activity })));
        update({ ...worker, activity: current.name });
        tick();
      },
    };
  };
}

function activityButton(choose, getWorker) {
  const button = el("button", { type: "button" });
  let activity = null;
  button.addEventListener("click", () => runUnlessBusy(button, () => choose(activity)));
  return {
    node: button,
    update(next) {
      activity = next;
      setText(button, activity.name);
      button.setAttribute("aria-pressed", String(getWorker().activity_sid === activity.sid));
    },
  };
}

function draw(body, worker) {
  drawFields(body, "worker", [
    ["Worker SID", worker.sid],
    ["Activity", worker.activity],
    ["Activity SID", worker.activity_sid],
    ["Since", formatDateTime(worker.activity_changed)],
  ]);
  drawPreformatted(body, "Attributes", worker.name, formatJson(worker.attributes));
}
