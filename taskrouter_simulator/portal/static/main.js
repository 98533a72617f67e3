// The page: panels show the overview; forms and buttons change resources and advance the clock.

import * as api from "./api.js";
import { describeChanges } from "./changes.js";
import { byId, setOptions, setText } from "./dom.js";
import { keepInput } from "./drafts.js";
import { alertRow, callbackRow } from "./log.js";
import { Panel } from "./panel.js";
import { Poll } from "./poll.js";
import { queueRow } from "./queues.js";
import { reservationRow } from "./reservations.js";
import { runUnlessBusy, shortenSid } from "./row.js";
import { taskRow, taskText } from "./tasks.js";
import { formatTime, now, setFrozen, setTime } from "./time.js";
import { workerRow } from "./workers.js";

const wide = matchMedia("(min-width: 46rem)").matches;
const ROWS = wide ? 10 : 5; // on a phone, 5 rows per list keep the Reservations near the top
let state = null;
let connected = false;

const sidOf = (resource) => resource.sid;
const idOf = (entry) => `${entry.id} ${entry.at}`; // ids start over when the simulator restarts
const poll = new Poll({ onState: show, onTime: setTime, onConnection: showConnection });

const tasks = new Panel({
  id: "tasks",
  name: "Tasks",
  limit: ROWS,
  make: taskRow((task, form) => update(`Tasks/${task.sid}`, form)),
  key: sidOf,
  text: taskText,
});
const reservations = new Panel({
  id: "reservations",
  name: "Reservations",
  limit: ROWS,
  make: reservationRow((reservation, form) =>
    update(`Tasks/${reservation.task_sid}/Reservations/${reservation.sid}`, form),
  ),
  key: sidOf,
});
const workers = new Panel({
  id: "workers",
  name: "Workers",
  limit: 20,
  make: workerRow(
    (worker, form) => update(`Workers/${worker.sid}`, form),
    () => state.workspace.activities,
  ),
  key: sidOf,
});
const queues = new Panel({ id: "queues", name: "TaskQueues", limit: 20, make: queueRow, key: sidOf });
const alerts = new Panel({ id: "alerts", name: "Alerts", limit: 3, make: alertRow, key: idOf });
const callbacks = new Panel({
  id: "callbacks",
  name: "Callbacks",
  limit: 20,
  make: callbackRow,
  key: idOf,
  text: JSON.stringify,
});

function show(next) {
  const changes = describeChanges(state, next);
  if (!state) byId("creation").open = wide || !next.workspace?.tasks_total;
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
  callbacks.update(state.callbacks, state.callbacks_total, state.callbacks_by_kind);
  alerts.update(state.alerts, state.alerts_total);
  if (changes) setText(byId("changes"), `${formatTime(now())} ${changes}`);
}

function tick() {
  if (!state || !connected) return;
  setText(byId("now"), formatTime(now()));
  for (const panel of [tasks, reservations, workers]) panel.tick();
}

function showConnection(isConnected) {
  connected = isConnected;
  const connection = byId("connection");
  connection.dataset.connection = connected ? "connected" : "lost";
  setText(connection, connected ? "Live" : "The simulator cannot be reached. Retrying.");
  tick();
}

/** Updates a resource through the REST API, shows any error, and polls. */
async function update(path, form) {
  await attempt(() => api.post(state.workspace.sid, path, form));
}

async function attempt(run) {
  try {
    await run();
    showProblem("");
  } catch (error) {
    showProblem(error.message);
  }
  poll.soon();
}

function showProblem(problem) {
  setText(byId("problem-text"), problem);
  byId("problem").hidden = !problem;
}

async function create() {
  const form = { Attributes: byId("attributes").value };
  if (byId("workflow").value) form.WorkflowSid = byId("workflow").value;
  if (byId("priority").value) form.Priority = byId("priority").value;
  let created = "";
  let problem = "";
  try {
    const task = await api.post(state.workspace.sid, "Tasks", form);
    created = `Task ${shortenSid(task.sid)} created.`;
  } catch (error) {
    problem = error.message;
  }
  setText(byId("created"), created);
  setText(byId("create-problem"), problem);
  byId("attributes").setAttribute("aria-invalid", String(Boolean(problem)));
  poll.soon();
}

function onSubmit(id, run) {
  byId(id).addEventListener("submit", (event) => {
    event.preventDefault();
    if (state?.workspace) runUnlessBusy(event.submitter ?? event.target, run);
  });
}

onSubmit("create", create);
onSubmit("clock", () => attempt(() => api.advance(Number(byId("advance").value))));
byId("workspace").addEventListener("change", (event) => {
  sessionStorage.setItem("workspace", event.target.value);
  poll.choose(event.target.value);
});
byId("problem-close").addEventListener("click", () => {
  showProblem("");
  byId("main").querySelector("h2[tabindex]").focus();
});

for (const id of ["attributes", "priority", "advance", "tasks-filter", "callbacks-filter"]) keepInput(byId(id));
setInterval(tick, 1000);
poll.choose(sessionStorage.getItem("workspace") ?? "");
