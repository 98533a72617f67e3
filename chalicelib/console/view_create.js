// The dialog in which a supervisor creates a Task.

import { isSameTask, setTaskField, submitTask, taskField, unsettledTask } from "./create_task.js";
import { state } from "./state.js";
import { text } from "./texts.js";
import { html, icon } from "./view.js";
import { Copy, Modal } from "./view_dialogs.js";

const CHANNELS = ["default", "voice", "chat", "sms", "video"];

export function createDialog() {
  return html`<${Modal} key=${state.dialog} title=${text("createTitle")}>
    <form noValidate onSubmit=${submit}>
      <div class="body">
        ${taskInput("attributes", (props) => html`<textarea ...${props} rows="6" autofocus />`)}
        <div class="pair">
          ${taskInput("workflow_sid", (props) => html`<input ...${props} list="workflows" placeholder=${text("defaultWorkflow")} />`)}
          ${taskInput("task_channel", (props) => html`<input ...${props} list="channels" placeholder="default" />`)}
          ${taskInput("priority", (props) => html`<input ...${props} inputmode="numeric" placeholder="0" />`)}
          ${taskInput("timeout", (props) => html`<input ...${props} inputmode="numeric" placeholder="86400" />`, text("timeoutHint"))}
        </div>
        <datalist id="workflows">${knownWorkflows().map(([sid, name]) => html`<option key=${sid} value=${sid} label=${name ?? sid} />`)}</datalist>
        <datalist id="channels">${CHANNELS.map((name) => html`<option key=${name} value=${name} />`)}</datalist>
      </div>
      <div class="foot">${outcome()}${submitButton()}</div>
    </form>
  <//>`;
}

/** Return the SIDs and names of the Workflows of the listed offers, the Tasks in progress and the loaded History. */
function knownWorkflows() {
  const { rows, progress } = state.inbox;
  const listed = [...[...rows.values()].map(({ reservation }) => reservation), ...progress, ...state.history.rows];
  return [...new Map(listed.map((each) => [each.workflow_sid, each.workflow_name]))].filter(([sid]) => sid);
}

const LABELS = { attributes: "attributes", workflow_sid: "workflow", task_channel: "taskChannel", priority: "taskPriority", timeout: "taskTimeout" };

/** A label and an input, with an error message or a hint below the input. */
function taskInput(name, input, hint) {
  const mistake = state.creation.mistakes[name];
  const noteId = `task-${name}-note`;
  const props = {
    id: `task-${name}`,
    value: taskField(name),
    spellcheck: false,
    autocomplete: "off",
    onInput: ({ target }) => setTaskField(name, target.value),
    "aria-invalid": mistake ? "true" : null,
    "aria-describedby": mistake || hint ? noteId : null,
    "aria-required": name === "attributes" ? "true" : null,
  };
  return html`<div class="field">
    <label for=${props.id}>${text(LABELS[name])}</label>
    ${input(props)}
    ${mistake ? html`<p id=${noteId} class="wrong">${icon("last")}<span>${mistake()}</span></p>` : hint && html`<p id=${noteId} class="hint">${hint}</p>`}
  </div>`;
}

/** Send the request. If a field has a mistake, select its contents, or move the cursor to the mistake if the position is known. */
function submit(event) {
  event.preventDefault();
  const field = submitTask();
  if (field) {
    const element = event.target.querySelector(`#task-${field}`);
    const { at } = state.creation.mistakes[field];
    element.focus();
    element.setSelectionRange(at ?? 0, at ?? element.value.length);
  }
}

/** The outcome of the request, next to the button. */
function outcome() {
  const { isSending, problem, sid } = state.creation;
  const isDifferent = unsettledTask() && !isSameTask();
  const warning = !isSending && unsettledTask() && (isDifferent ? text("createChanged") : (problem?.() ?? text("createUnknown")));
  const message = warning || problem?.();
  return html`<div class="outcome" role="status">
    ${sid && html`<p>${icon("check")}<span>${text("created", { sid: "" })}<span class="mono">${sid}</span></span><${Copy} key=${sid} label=${text("taskSid")} value=${sid} /></p>`}
    ${!sid && !isSending && message && html`<p class="wrong">${icon("last")}<span>${message}</span></p>`}
  </div>`;
}

function submitButton() {
  const { isSending, sid } = state.creation;
  const key = isSending ? "creating" : sid ? "createAnother" : isSameTask() ? "sendAgain" : "createTask";
  return html`<button type="submit" class="primary" aria-disabled=${isSending ? "true" : null}>${text(key)}</button>`;
}
