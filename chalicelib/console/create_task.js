// Creates a Task from the form's input, at most once.

import { call, isOutcomeUnknown } from "./actions.js";
import { retryAfter } from "./api.js";
import { number } from "./format.js";
import { findJsonProblem } from "./json_problem.js";
import { drafts, storeDraft } from "./session.js";
import { changed, isOffline, state } from "./state.js";
import { text } from "./texts.js";

/** Number of characters that the API adds to the attributes for `idempotency_key` and `idempotency_marker`. */
const ADDED_LENGTH = 109;
const MAX_ATTRIBUTES_LENGTH = 4096 - ADDED_LENGTH;
/** A string, or white space outside strings. */
const STRING_OR_SPACE = /("(?:[^"\\]|\\.)*")|\s+/g;
const WORKFLOW = /^WW[\da-f]{32}$/;
/** Minimum and maximum of each numeric field. */
const RANGES = { priority: [0, 2_147_483_647], timeout: [1, 1_209_600] };
/** Time in ms for which the API remembers an Idempotency-Key. */
const KEY_LIFE = 86_400_000;
/** Time in ms after a success within which submitting the unchanged form is treated as the second click of a double-click. */
const DOUBLE_CLICK = 1000;

/** Return the user's input in a field, or the field's default. */
export const taskField = (name) => drafts[`task ${name}`] ?? (name === "attributes" ? exampleAttributes() : "");

/** Return the text of a JSON object with an empty value for each attribute that a Task's title may contain. */
function exampleAttributes() {
  const names = state.inbox.titleAttributes;
  return names.length ? JSON.stringify(Object.fromEntries(names.map((name) => [name, ""])), null, 2) : "{\n  \n}";
}

export function setTaskField(name, value) {
  storeDraft(`task ${name}`, value);
  state.creation.sid = null;
  if (state.creation.mistakes[name]) {
    state.creation.mistakes[name] = findMistakes()[name];
  }
  changed();
}

/** Return the attributes without white space between values. JSON.parse would round large numbers. */
const compactAttributes = () => taskField("attributes").replace(STRING_OR_SPACE, "$1");

const attributesLong = (length) => text("attributesLong", { n: number(length), max: number(MAX_ATTRIBUTES_LENGTH) });

/** Return the mistakes in the form: for each field with a mistake, a function that returns the message. */
function findMistakes() {
  const mistakes = {};
  const problem = findJsonProblem(taskField("attributes"));
  const { length } = [...compactAttributes()];
  if (problem) {
    mistakes.attributes = () => text("attributesWrong", { n: problem.line, max: number(MAX_ATTRIBUTES_LENGTH), problem: text(problem.key, { excerpt: problem.excerpt }) });
    mistakes.attributes.at = problem.at;
  } else if (length > MAX_ATTRIBUTES_LENGTH) {
    mistakes.attributes = () => attributesLong(length);
  }
  if (taskField("workflow_sid").trim() && !WORKFLOW.test(taskField("workflow_sid").trim())) {
    mistakes.workflow_sid = () => text("workflowWrong");
  }
  for (const [name, [from, to]] of Object.entries(RANGES)) {
    const value = taskField(name).trim();
    if (value && !(/^\d+$/.test(value) && from <= Number(value) && Number(value) <= to)) {
      mistakes[name] = () => text("numberWrong", { from: number(from), to: number(to) });
    }
  }
  return mistakes;
}

function taskBody() {
  const body = { attributes: compactAttributes() };
  for (const name of ["workflow_sid", "task_channel", "priority", "timeout"]) {
    const value = taskField(name).trim();
    if (value) {
      body[name] = RANGES[name] ? Number(value) : value;
    }
  }
  return body;
}

/** Return the request whose outcome is unknown: {key, body, at}, or null. It survives a reload and a new sign-in. */
export const unsettledTask = () => (isKeyKnown() ? drafts.taskSent : null);

const isKeyKnown = () => Date.now() - drafts.taskSent?.at < KEY_LIFE;

/** Return whether the form still describes the unsettled request, so that submitting it repeats the request. */
export const isSameTask = () => unsettledTask()?.body === JSON.stringify(taskBody());

/** Return a random key. Without TLS, browsers do not provide crypto.randomUUID. */
const newKey = () => [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, "0")).join("");

/** Create the Task; return the name of the first field with a mistake, if any. */
export function submitTask() {
  const { creation } = state;
  if (creation.isSending || (creation.sid && performance.now() - creation.at < DOUBLE_CLICK)) {
    return null;
  }
  Object.assign(creation, { mistakes: findMistakes(), problem: isOffline() ? () => text("downButton") : null, sid: null });
  const [field] = Object.keys(creation.mistakes);
  if (!field && drafts.taskSent && !isKeyKnown()) {
    // The next request has a new key, so the user must know that it may create a second Task.
    storeDraft("taskSent", null);
    creation.problem = () => text("createForgotten");
  }
  if (!field && !creation.problem) {
    sendTask(creation);
  }
  changed();
  return field;
}

async function sendTask(creation) {
  const parameters = taskBody();
  const body = JSON.stringify(parameters);
  const isRepeat = isSameTask();
  const sent = isRepeat ? unsettledTask() : { key: newKey(), body, at: Date.now() };
  storeDraft("taskSent", sent);
  creation.isSending = true;
  const response = await call("POST", "create-task", parameters, { "Idempotency-Key": sent.key }).catch(() => null);
  creation.isSending = false;
  if (state.creation !== creation) {
    return;
  }
  if (isRepeat ? isFinal(response) : !isOutcomeUnknown(response)) {
    storeDraft("taskSent", null);
  }
  if (response?.status === 201 && typeof response.body?.sid === "string") {
    Object.assign(creation, { sid: response.body.sid, at: performance.now() });
  } else {
    creation.problem = problemOfTask(response, isRepeat);
  }
  changed();
}

/** Return whether a response settles all requests with its key. If a repeated request is refused, only that request is settled. */
const isFinal = (response) => response?.status === 201 || response?.body?.Code === "TaskUnidentified";

function problemOfTask(response, isRepeat) {
  if (isOutcomeUnknown(response)) {
    return () => text("createUnknown");
  }
  const { status, body } = response;
  const isRetryable = status === 429 || status === 503;
  const key = { TaskUnidentified: "createUnidentified", TaskRouterDenied: "problemDenied" }[body?.Code] ?? "problemOther";
  const n = retryAfter(response, 1);
  // The form can't predict this error if the API writes numbers with more digits than the user typed.
  const [, length] = /^The attributes have (\d+) characters/.exec(body?.Message) ?? [];
  const refusal = () => (length ? attributesLong(length - ADDED_LENGTH) : text(key, { reason: body?.Message ?? `HTTP ${status}` }));
  const reason = () => (isRetryable ? text("tryAgainIn", { n }) : refusal());
  const outcome = isRepeat && !isFinal(response) ? "createUnsettled" : isRetryable && "createNotSent";
  return () => (outcome ? text(outcome, { reason: reason() }) : reason());
}
