// Inspect: one Reservation, its timeline, callback, answer and decision.

import { serverNow } from "./clock.js";
import { attributeText, dateAndTime, duration, prettyJson, shortDuration, shortSid, showControls, taskTitle, unbroken } from "./format.js";
import { person, timeout } from "./inbox.js";
import { canSendAgain, runCallbackAction, watchRecord } from "./inspection.js";
import { preferences } from "./preferences.js";
import { drafts } from "./session.js";
import { state } from "./state.js";
import { text } from "./texts.js";
import { answeredAt, decisionOf, isUnfinished, phasesOf, ruleOf, stepsOf, wasDecidedBefore } from "./timeline.js";
import { html, icon, Page, pill, Ticking } from "./view.js";
import { Copy } from "./view_dialogs.js";
import { banner, blankRows } from "./view_inbox.js";
import { attributeList, endingPill, isSupervisor, statusKind } from "./view_offer.js";

const SLOW_RECORD = 300;

/** The page of one Reservation. Its key is the SID, so that each Reservation gets a new component. */
export class InspectPage extends Page {
  componentDidMount() {
    scrollTo(0, 0);
    this.shownState = listedState(this.props.sid);
    this.loader = watchRecord(this.props.sid);
    this.timer = setTimeout(() => this.setState({ isSlow: true }), SLOW_RECORD);
    if (document.activeElement === document.body) {
      document.getElementById("reservation")?.focus({ preventScroll: true });
    }
  }

  componentWillUnmount() {
    this.loader.stop();
    clearTimeout(this.timer);
  }

  /** Load the record again if the lists show that the Reservation has changed. */
  componentDidUpdate(...args) {
    super.componentDidUpdate(...args);
    const current = listedState(this.props.sid);
    if (current !== this.shownState) {
      this.shownState = current;
      this.loader.load();
    }
  }

  render({ sid, pollNow }, { isSlow }) {
    const inspection = state.inspection?.sid === sid ? state.inspection : null;
    const record = inspection?.record;
    const known = record ?? listed(sid);
    const origin = drafts.origin ?? "inbox";
    return html`<main class="page inspect" aria-busy=${known || inspection?.problem ? null : "true"}>
      ${banner(pollNow)}
      <div class="bar">
        <div>
          <p class="small"><a href=${`#${origin === "inbox" ? "offers" : `/${origin}`}`}>${text(origin)}</a> <span class="muted">/ ${text("reservation")} <span class="mono">${shortSid(sid)}</span></span></p>
          <h1 id="reservation" tabindex="-1">${known ? taskTitle(known, state.inbox.titleAttributes) : shortSid(sid)}</h1>
        </div>
        <div class="tools">
          ${record && headline(record)}
          <${Copy} label=${text("reservation")} value=${sid} />
        </div>
      </div>
      ${record ? contents(record, inspection) : missing(inspection, this.loader) || (isSlow && blankRows())}
    </main>`;
  }
}

/** Return the Reservation as listed in the Inbox or in History, or undefined. */
function listed(sid) {
  const { rows, progress, ended } = state.inbox;
  const all = [...progress, ...[...rows.values(), ...ended].map(({ reservation }) => reservation), ...state.history.rows];
  return all.find((each) => each.reservation_sid === sid);
}

/** Return a string that changes when the lists show something new about a Reservation. */
const listedState = (sid) => JSON.stringify([listed(sid), state.inbox.rows.get(sid)?.phase]);

function headline(record) {
  const names = [isSupervisor() && record.worker_name, record.task_queue_name, record.callback?.TaskPriority && text("priority", { n: record.callback.TaskPriority })];
  return html`<span role="status">${endingPill(statusKind(record.status))}</span><span class="muted">${names.filter(Boolean).join(", ")}</span>`;
}

function missing(inspection, loader) {
  if (!inspection?.problem) {
    return null;
  }
  const isMissing = inspection.code === "NotFoundError";
  return html`<div class="nothing" role="alert">
    ${icon("last")}<h2>${text(isMissing ? "notRecorded" : "inspectFailed")}</h2>
    <p>${isMissing ? text("notRecordedText") : inspection.code === "ForbiddenError" ? text("problemForbidden") : inspection.problem()}</p>
    <button type="button" onClick=${() => loader.load(true)}>${text("tryAgain")}</button>
  </div>`;
}

function contents(record, inspection) {
  return html`
    ${inspection.problem && html`<p class="wrong" role="status">${icon("info")}${text("asOf", { time: dateAndTime(inspection.loadedAt) })} ${inspection.problem()}</p>`}
    ${panel("timeline", timeNote(record), html`<div class="in stack">${figure(record)}<ol class="steps">${steps(record)}</ol></div>`)}
    ${panel("taskSid", "", html`<div class="in">${attributeList(record.task_attributes)}</div>`)}
    <div class="split even">
      <div>${panel("parameters", record.callback && text("asReceived", { n: Object.keys(record.callback).length }), parameters(record.callback))}</div>
      <div>
        ${panel("answerAndRule", "", answer(record, inspection))}
        ${panel("decision", "", decision(record))}
        ${panel("ids", "", html`<dl class="facts sids">${identifiers(record)}</dl>`)}
      </div>
    </div>
    <details class="raw">
      <summary>${text("rawJson")}</summary>
      <pre tabindex="0">${prettyJson(record)}</pre>
    </details>
  `;
}

const panel = (name, note, children) => html`<section class="panel" aria-labelledby=${`part-${name}`}>
  <header><h2 id=${`part-${name}`}>${text(name)}</h2><p class="muted small num">${note}</p></header>
  ${children}
</section>`;

/** Return a component that is rendered again each second until the Reservation has ended. */
const tickingUntilEnd = (record, show) => html`<${Ticking} value=${() => (isUnfinished(record) ? Math.floor(serverNow() / 1000) : 0)} show=${show} />`;

const timeLeft = (record, at) => Math.max(0, Date.parse(record.expires_at) - at);

function timeNote(record) {
  const decision = decisionOf(record);
  const isInTime = ["accepted", "rejected"].includes(decision?.to) && timeLeft(record, Date.parse(decision.at)) > 0;
  return tickingUntilEnd(record, () => {
    const total = phasesOf(record, serverNow()).reduce((sum, { time }) => sum + time, 0);
    return [
      text("inAll", { time: shortDuration(total) }),
      isInTime && text("decidedBefore", { time: duration(timeLeft(record, Date.parse(decision.at))) }),
      record.status === "pending" && `${text("timeLeft", { time: duration(timeLeft(record, serverNow())) })}.`,
    ].filter(Boolean).join(" ");
  });
}

const PHASE_TEXTS = { wait: "waited", work: "inProgress", wrap: "wrapping" };
const percent = (share) => `${(share * 100).toFixed(2)}%`;

/** A chart of each phase's share of the total time. The legend contains the times. */
const figure = (record) => tickingUntilEnd(record, () => {
  const phases = phasesOf(record, serverNow());
  return html`<figure class="stack" aria-label=${text("shares")}>
    <svg class="strip" aria-hidden="true">
      <defs><pattern id="p-wait" width="7" height="7" patternUnits="userSpaceOnUse" patternTransform="rotate(45)"><rect width="7" height="7" class="f-wait" /><path d="M0 0v7" class="hatch" stroke-width="3" opacity=".5" /></pattern></defs>
      ${phases.map(({ name, from, share }) => html`<rect x=${percent(from)} y="2" width=${percent(share)} height="36" rx="6" class=${`f-${name}`} fill=${name === "wait" ? "url(#p-wait)" : null} />`)}
    </svg>
    <ul class="legend">${phases.map(({ name, time }) => html`<li>
      <svg class="swatch" viewBox="0 0 14 14" aria-hidden="true"><rect width="14" height="14" rx="3" class=${`f-${name}`} fill=${name === "wait" ? "url(#p-wait)" : null} /></svg>
      ${text(PHASE_TEXTS[name])} <strong>${shortDuration(time)}</strong>
    </li>`)}</ul>
  </figure>`;
});

const DAY = { day: "numeric", month: "short" };
const TIME = { hour: "2-digit", minute: "2-digit", second: "2-digit", fractionalSecondDigits: 3, hourCycle: "h23" };
const exactTime = (at, options = TIME) => unbroken(new Date(at).toLocaleString(preferences.language, options));
const exactDuration = (milliseconds) => (milliseconds < 1000 ? `${Math.max(0, Math.round(milliseconds))}\u00A0ms` : shortDuration(milliseconds));

/** The icon, heading and note of each kind of step. The icons of status changes are in CHANGES. */
const STEPS = {
  reserved: { name: "in", heading: () => text("reserved"), note: ({ callback }, { isExact }) => (!callback ? text("noCallback") : isExact ? "TaskRouter" : text("reservedAbout")) },
  received: { name: "bell", heading: () => text("received"), note: (record, { route }) => [text("signatureValid"), route.endsWith("/fallback") && text("fallback"), answeredAt(record) ? "" : describeAnswer(record)].filter(Boolean).join(". ") },
  answered: { name: "out", heading: () => text("answered"), note: (record) => describeAnswer(record) },
  claimed: { name: "person", heading: () => text("claimed"), note: ({ worker_name: name }, { by, target }) => `${person(by, name)}: ${text(VERBS[target] ?? "accept")}` },
  changed: { heading: (step) => text(statusKind(step.to)), note: (record, { by, note }) => [sourceText(by, record.worker_name), note && noteText(note)].filter(Boolean).join(". ") },
};
const VERBS = { __proto__: null, accepted: "accept", rejected: "reject", completed: "complete" };
/** For each new status except `gone`, the icon and the mark of the step that changes the status, and the phase that begins with the step. */
const CHANGES = { __proto__: null, accepted: ["check", "decided", "work"], wrapping: ["flag", null, "wrap"], completed: ["check", "end"], rejected: ["cross"], timeout: ["stop"], canceled: ["back"], rescinded: ["person"] };

function steps(record) {
  const all = stepsOf(record);
  const lastWaiting = all.findLastIndex(({ kind }) => kind === "reserved" || kind === "answered" || kind === "received");
  let day = exactTime(Date.now(), DAY);
  return all.map((step, index) => {
    const { kind, at, to } = step;
    const { name, heading, note } = STEPS[kind];
    const [changeIcon = "back", mark = null, phase = null] = CHANGES[to] ?? [];
    const previousDay = day;
    day = exactTime(at, DAY);
    return html`<li key=${index} data-mark=${kind === "changed" ? mark : null} data-phase=${kind === "changed" ? phase : index === lastWaiting ? "wait" : null}>
      <span class="node">${icon(name ?? changeIcon)}</span>
      ${index > 0 && all[index - 1].isExact !== false && html`<span class="took">+${exactDuration(Date.parse(at) - Date.parse(all[index - 1].at))}</span>`}
      <h3>${heading(step)}</h3>
      <time class="at" datetime=${at}>${day !== previousDay && `${day}, `}${exactTime(at)}</time>
      <p class="note">${note(record, step)}</p>
    </li>`;
  });
}

const SOURCES = {
  __proto__: null,
  assignment_callback: "byTaskRouter",
  event: "byTaskRouter",
  assignment_instruction: "byInstruction",
  sweep: "byCheck",
  reconcile: "byCheck",
  fetch: "byCheck",
};

const sourceText = (by, workerName) => (SOURCES[by] ? text(SOURCES[by]) : text("by", { name: person(by, workerName) }));

const STEP_NOTES = { __proto__: null, "no callback received": "noCallback", "TaskRouter returned 404": "goneNote" };

const noteText = (note) => (STEP_NOTES[note] ? text(STEP_NOTES[note]) : note);

/** Describe the answer: the instruction or "decide later", and the rule that chose it, if any. */
function describeAnswer(record) {
  const rule = ruleOf(record);
  return `${record.instruction?.instruction ?? text("decideLater")}${rule ? `. ${text("rule", { rule })}` : ""}`;
}

function parameters(callback) {
  if (!callback) {
    return html`<p class="in muted">${text("noCallback")}</p>`;
  }
  return html`<table class="params" aria-labelledby="part-parameters">
    <thead class="vh"><tr><th scope="col">${text("parameter")}</th><th scope="col">${text("value")}</th></tr></thead>
    <tbody>${Object.entries(callback).map(([name, value]) => html`<tr key=${name}><th scope="row">${name}</th><td>${showControls(typeof value === "string" ? value : JSON.stringify(value))}</td></tr>`)}</tbody>
  </table>`;
}

const fact = (name, value) => value && html`<div key=${name}><dt>${text(name)}</dt><dd>${value}</dd></div>`;

function answer(record, inspection) {
  const { instruction, delivery, callback } = record;
  const rule = ruleOf(record);
  return html`<dl class="facts">
    ${fact("answer", instruction ? html`<code>${JSON.stringify(instruction)}</code> ${!instruction.instruction && text("decideLater")}` : text("none"))}
    ${callback && fact("givenBy", rule ? html`<strong>${text("rule", { rule })}</strong>` : text(!instruction?.instruction && wasDecidedBefore(record) ? "noRuleDecided" : "noRule"))}
    ${delivery && fact("route", html`<code>${delivery.route}</code>`)}
    ${delivery && fact("checkedUrl", html`<code>${delivery.checked_url}</code>`)}
    ${isSupervisor() && delivery && fact("signature", signatureActions(inspection))}
  </dl>
  ${state.supervisor && html`<p class="in"><a href=${state.supervisor.callbacksAddress(record)}>${text("itsCallbacks")}</a></p>`}`;
}

/**
 * Return the button that verifies the signature, the button that sends the callback again (only on the local
 * stack), and the outcome of each request.
 */
export function signatureActions(target) {
  const actions = [["check", "verifyAgain", checked], canSendAgain() && ["resend", "sendAgain", resent]].filter(Boolean);
  return html`
    <p class="acts">${actions.map(([name, labelKey]) => html`<button type="button" aria-disabled=${target[name]?.isRunning ? "true" : null} onClick=${() => runCallbackAction(target, name)}>${text(labelKey)}</button>`)}</p>
    ${actions.map(([name, , show]) => html`<p role="status">${requestOutcome(target[name], show)}</p>`)}
  `;
}

/** The outcome of a request, if there is one: a note while the request is running, the reason for a failure, or the result of `show`. */
function requestOutcome(result, show) {
  if (!result) {
    return null;
  }
  if (result.isRunning) {
    return html`<span class="muted">${text("waitingForAnswer")}</span>`;
  }
  return result.problem ? html`<span class="wrong">${icon("info")}${result.problem()}</span>` : show(result);
}

const CAUSES = {
  __proto__: null,
  no_header: "causeNoHeader",
  malformed_header: "causeMalformedHeader",
  unknown_shared_key: "causeSharedKey",
  base_url: "causeBaseUrl",
  path: "causePath",
  query: "causeQuery",
  auth_token: "causeAuthToken",
};

export const causeText = (cause) => (CAUSES[cause] ? text(CAUSES[cause]) : cause);

export function signaturePill(isValid) {
  if (isValid === null) {
    return pill("gray", "info", text("notChecked"));
  }
  return isValid ? pill("green", "check", text("valid")) : pill("red", "cross", text("invalid"));
}

const checked = ({ valid, likely_cause: cause }) =>
  html`${signaturePill(valid)} ${valid === null ? text("parametersMissing") : cause && causeText(cause)}`;

const resent = ({ status, body, duration_ms: time }) =>
  html`${pill(status < 400 ? "green" : "red", status < 400 ? "check" : "cross", status)} ${exactDuration(time)} <code>${typeof body === "string" ? body : JSON.stringify(body)}</code>`;

function decision(record) {
  const made = decisionOf(record);
  const { instruction_sent: sent, worker_name: name } = record;
  const claim = record.claims?.findLast(({ target }) => target !== "completed");
  const at = made && Date.parse(made.at);
  return html`<dl class="facts">
    ${fact(made ? "outcome" : "status", endingPill(statusKind(made?.to ?? "pending")))}
    ${made?.by && (SOURCES[made.by] ? fact("source", text(SOURCES[made.by])) : fact("decidedBy", person(made.by, name)))}
    ${made && fact("at", html`<time datetime=${made.at}>${dateAndTime(at)}</time>`)}
    ${made && fact("leftThen", text("leftOf", { time: duration(timeLeft(record, at)), all: duration(timeout(record)) }))}
    ${made?.note && fact("note", noteText(made.note))}
    ${claim && fact("claimed", html`${person(claim.by, name)}: ${text(VERBS[claim.target] ?? "accept")}, <time datetime=${claim.at}>${dateAndTime(Date.parse(claim.at))}</time>`)}
    ${sent && fact("phoneInstruction", html`<code>${JSON.stringify(sent)}</code>`)}
  </dl>`;
}

/** The label of each SID, and the field that contains the resource's name, if any. */
const SIDS = {
  reservation_sid: ["reservation"],
  task_sid: ["taskSid"],
  worker_sid: ["worker", "worker_name"],
  task_queue_sid: ["queue", "task_queue_name"],
  workflow_sid: ["workflow", "workflow_name"],
};

const identifiers = (record) =>
  Object.entries(SIDS).map(
    ([field, [key, name]]) =>
      record[field] &&
      html`<div key=${field}>
        <dt>${text(key)}</dt>
        <dd>${record[name]} <span class="mono muted">${attributeText(record[field]).shown}</span></dd>
        <dd><${Copy} label=${text(key)} value=${record[field]} /></dd>
      </div>`,
  );
