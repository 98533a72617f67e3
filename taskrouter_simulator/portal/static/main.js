// Ties the page together: the overview comes in, the panels show it, the forms and buttons ask.

import * as api from "./api.js";
import { byId, setOptions, setText } from "./dom.js";
import { news } from "./news.js";
import { Panel } from "./panel.js";
import { Poll } from "./poll.js";
import { queueRow } from "./queues.js";
import { reservationRow } from "./reservations.js";
import { busy } from "./row.js";
import { taskRow, taskText } from "./tasks.js";
import { clock, now, setFrozen, setTime } from "./time.js";
import { alertRow, callbackRow } from "./traffic.js";
import { workerRow } from "./workers.js";

let state = null;
let reached = false;

const sidOf = (one) => one.sid;
const idOf = (one) => `${one.id} ${one.at}`;
const poll = new Poll({ onState: show, onTime: setTime, onReach: showReach });

const tasks = new Panel({
  id: "tasks",
  name: "Tasks",
  limit: 10,
  make: taskRow((task, form) => ask(`Tasks/${task.sid}`, form)),
  key: sidOf,
  text: taskText,
});
const reservations = new Panel({
  id: "reservations",
  name: "Reservations",
  limit: 10,
  make: reservationRow((one, form) => ask(`Tasks/${one.task_sid}/Reservations/${one.sid}`, form)),
  key: sidOf,
});
const workers = new Panel({
  id: "workers",
  name: "Workers",
  limit: 20,
  make: workerRow(
    (worker, form) => ask(`Workers/${worker.sid}`, form),
    () => state.workspace.activities,
  ),
  key: sidOf,
});
const queues = new Panel({ id: "queues", name: "TaskQueues", limit: 20, make: queueRow, key: sidOf });
const callbacks = new Panel({
  id: "callbacks",
  name: "Callbacks",
  limit: 20,
  make: callbackRow,
  key: idOf,
  text: JSON.stringify,
});
const alerts = new Panel({ id: "alerts", name: "Alerts", limit: 3, make: alertRow, key: idOf });

function show(next) {
  const sentence = news(state, next);
  state = next;
  setFrozen(state.clock_frozen);
  byId("frozen").hidden = !state.clock_frozen;
  setOptions(byId("workspace"), state.workspaces);
  const { workspace } = state;
  if (workspace) byId("workspace").value = workspace.sid;
  setOptions(byId("workflow"), workspace?.workflows ?? []);
  workers.update(workspace?.workers ?? []);
  queues.update(workspace?.task_queues ?? []);
  tasks.update(workspace?.tasks ?? [], workspace?.tasks_total);
  reservations.update(workspace?.reservations ?? [], workspace?.reservations_total);
  callbacks.update(state.callbacks, state.callbacks_total);
  alerts.update(state.alerts, state.alerts_total);
  if (sentence) setText(byId("news"), `${clock(now())} ${sentence}`);
}

function tick() {
  if (!state || !reached) return;
  setText(byId("now"), clock(now()));
  for (const panel of [tasks, reservations, workers]) panel.tick();
}

function showReach(isReached) {
  reached = isReached;
  const reach = byId("reach");
  reach.dataset.reach = reached ? "yes" : "no";
  setText(reach, reached ? "Live" : "The simulator cannot be reached. Trying again.");
  tick();
}

/** Changes something by REST, tells what was refused, and looks at what became of it. */
async function ask(path, form) {
  await attempt(() => api.post(state.workspace.sid, path, form));
}

async function attempt(run) {
  try {
    await run();
    tell("");
  } catch (error) {
    tell(error.message);
  }
  poll.soon();
}

function tell(problem) {
  setText(byId("problem-text"), problem);
  byId("problem").hidden = !problem;
}

async function create() {
  const form = { Attributes: byId("attributes").value };
  if (byId("workflow").value) form.WorkflowSid = byId("workflow").value;
  if (byId("priority").value) form.Priority = byId("priority").value;
  let problem = "";
  try {
    await api.post(state.workspace.sid, "Tasks", form);
  } catch (error) {
    problem = error.message;
  }
  setText(byId("create-problem"), problem);
  byId("attributes").setAttribute("aria-invalid", String(Boolean(problem)));
  poll.soon();
}

function onSubmit(id, run) {
  byId(id).addEventListener("submit", (event) => {
    event.preventDefault();
    if (state?.workspace) busy(event.submitter ?? event.target, run);
  });
}

onSubmit("create", create);
onSubmit("clock", () => attempt(() => api.advance(Number(byId("advance").value))));
byId("workspace").addEventListener("change", (event) => poll.choose(event.target.value));
byId("problem-close").addEventListener("click", () => {
  tell("");
  byId("main").querySelector("h2[tabindex]").focus();
});

setInterval(tick, 1000);
poll.now();
