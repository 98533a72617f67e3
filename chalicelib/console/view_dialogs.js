// The dialogs: phone instructions, a Reservation's record, and the shortcuts.

import { decide, obstacle } from "./actions.js";
import { dateAndTime, shortSid, taskTitle } from "./format.js";
import { person } from "./inbox.js";
import { Component, createRef } from "./vendor.js";
import { drafts, keepDraft } from "./session.js";
import { changed, state } from "./state.js";
import { text } from "./texts.js";
import { html, icon } from "./view.js";
import { shortcutList } from "./view_inbox.js";
import { attributeList, endingPill, isSupervisor, statusKind } from "./view_offer.js";

function close() {
  state.dialog = null;
  changed();
}

/** A native modal dialog, which keeps the focus inside and returns it when closed. */
export class Modal extends Component {
  element = createRef();

  componentDidMount() {
    this.element.current.showModal();
  }

  render({ title, children }) {
    return html`<dialog ref=${this.element} aria-labelledby="dialog-title" onClose=${close}>
      <div class="head">
        <h2 id="dialog-title">${title}</h2>
        <button type="button" class="quiet" onClick=${() => this.element.current.close()}>${text("close")}</button>
      </div>
      ${children}
    </dialog>`;
  }
}

export function dialog() {
  const { kind, sid, details } = state.dialog ?? {};
  if (kind === "link") {
    return html`<${Modal} key=${kind} title=${text("linkTitle")}>${linkQuestion(state.dialog)}<//>`;
  }
  if (kind === "phone") {
    return html`<${Modal} key=${kind} title=${text("phoneTitle")}>${phone(sid)}<//>`;
  }
  if (kind === "inspect") {
    return html`<${Modal} key=${`inspect ${sid}`} title=${inspectTitle(sid, details)}><div class="body">${details ? record(details) : html`<p class="muted" role="status">${text("loadingHistory")}</p>`}</div><//>`;
  }
  return kind && html`<${Modal} key=${kind} title=${text("shortcuts")}><p class="body muted">${text("keysNote")}</p>${shortcutList()}<//>`;
}

/** Ask whether a link may replace the session. */
function linkQuestion({ claims, accept }) {
  const leave = (event) => {
    event.target.closest("dialog").close();
    accept();
  };
  const [name, other] = [state.session.claims, claims].map(sessionName);
  return html`
    <p class="body">${text("linkText", { name, other })}</p>
    <div class="foot"><button type="button" onClick=${leave}>${text("linkAccept")}</button></div>
  `;
}

/** Return whose session the claims describe. The API has not verified a link's claims. */
const sessionName = ({ identity, role, workerSid }) =>
  [identity || text(role), workerSid && shortSid(workerSid)].filter(Boolean).join(" ");

function phone(sid) {
  const send = (event) => {
    event.preventDefault();
    if (obstacle(sid)) {
      changed();
      return;
    }
    const parameters = Object.fromEntries([...new FormData(event.target)].filter(([, value]) => value.trim()));
    decide(sid, "accept", parameters);
    event.target.closest("dialog").close();
  };
  const problemNow = obstacle(sid);
  return html`<form onSubmit=${send}>
    <div class="body">
      <p class="muted">${text(isSupervisor() ? "phoneTextOther" : "phoneText")}</p>
      <div class="field">
        <label for="instruction">${text("instruction")}</label>
        <select id="instruction" name="instruction" autofocus value=${drafts.instruction ?? "conference"} onChange=${keep("instruction")}>
          <option value="conference">${text("conference")}</option>
          <option value="dequeue">${text("dequeue")}</option>
        </select>
      </div>
      ${isSupervisor() && field("to", text("phoneTo"), text("phoneToHint"))}
      ${field("from", text("phoneFrom"), text("phoneFromHint"))}
    </div>
    <div class="foot">
      ${problemNow && html`<p class="wrong" role="alert">${icon("info")}${problemNow}</p>`}
      <button type="submit" class="primary" aria-disabled=${problemNow ? "true" : null}>${text("call")}</button>
    </div>
  </form>`;
}

const keep = (name) => ({ target }) => keepDraft(name, target.value);

function field(name, words, hint) {
  return html`<div class="field">
    <label for=${name}>${words}</label>
    <input id=${name} name=${name} type="tel" autocomplete="off" value=${drafts[name] ?? ""} onInput=${keep(name)} aria-describedby=${`${name}-hint`} />
    <p id=${`${name}-hint`} class="hint">${hint}</p>
  </div>`;
}

/** Return the row's title, which is known before the record is loaded. */
function inspectTitle(sid, details) {
  const { rows, progress, ended, titleAttributes } = state.inbox;
  const lists = [progress, state.history.rows, ended.map(({ reservation }) => reservation)];
  const listed = rows.get(sid)?.reservation ?? lists.flat().find((each) => each.reservation_sid === sid);
  const reservation = listed ?? (details?.task_sid && details);
  return reservation ? taskTitle(reservation, titleAttributes) : shortSid(sid);
}

/** Each SID's label, and the member with the name. */
const SIDS = {
  reservation_sid: ["reservation"],
  task_sid: ["taskSid"],
  worker_sid: ["worker", "worker_name"],
  task_queue_sid: ["queue", "task_queue_name"],
  workflow_sid: ["workflow", "workflow_name"],
};

function record(details) {
  if (!details.history) {
    return html`<p class="wrong" role="alert">${details.Code ? text("problemOther", { reason: details.Message }) : details.Message}</p>`;
  }
  return html`
    ${attributeList(details.task_attributes)}
    <section>
      <h3>${text("history")}</h3>
      <ol class="steps">${details.history.map((entry) => step(entry, details.worker_name))}</ol>
    </section>
    <section>
      <h3>${text("ids")}</h3>
      <dl class="sids">${Object.entries(SIDS).map(([member, [key, name]]) => details[member] && identifier(text(key), details[name], details[member]))}</dl>
    </section>
    <details class="raw">
      <summary>${text("rawJson")}</summary>
      <pre tabindex="0">${JSON.stringify(details, null, 2)}</pre>
    </details>
  `;
}

const identifier = (words, name, sid) =>
  html`<div key=${sid}>
    <dt>${words}</dt>
    <dd>${name} <span class="mono muted">${shortSid(sid)}</span></dd>
    <dd><${Copy} words=${words} value=${sid} /></dd>
  </div>`;

/** A button that copies a SID. */
export class Copy extends Component {
  copy = async () => {
    await navigator.clipboard.writeText(this.props.value);
    this.setState({ isCopied: true });
  };

  render({ words }, { isCopied }) {
    return html`<button type="button" class="quiet" aria-label=${text("copySid", { words })} onClick=${this.copy}>${text(isCopied ? "copied" : "copy")}</button>`;
  }
}

const SOURCES = {
  assignment_callback: "byTaskRouter",
  event: "byTaskRouter",
  assignment_instruction: "byInstruction",
  sweep: "byCheck",
  reconcile: "byCheck",
  fetch: "byCheck",
};

const NOTES_OF_STEPS = { "no callback received": "noCallback", "TaskRouter returned 404": "goneNote" };

function noteText(note) {
  const rule = note.startsWith("rule ") && note.slice(5);
  return rule ? text("rule", { rule }) : NOTES_OF_STEPS[note] ? text(NOTES_OF_STEPS[note]) : note;
}

function step({ at, to, by, note }, workerName) {
  const source = SOURCES[by] ? text(SOURCES[by]) : text("by", { name: person(by, workerName) });
  const words = [source, note && noteText(note)].filter(Boolean).join(". ");
  return html`<li>
    <time datetime=${at}>${dateAndTime(Date.parse(at))}</time> ${endingPill(statusKind(to), to === "pending" ? text("offered") : undefined)} <span class="muted">${words}</span>
  </li>`;
}
