// The dialogs: phone instructions, a Reservation's record, and the shortcuts.

import { decide } from "./actions.js";
import { shortSid, taskTitle, timeOfDay } from "./format.js";
import { person } from "./inbox.js";
import { Component, createRef } from "./vendor.js";
import { drafts, keepDraft } from "./session.js";
import { changed, state } from "./state.js";
import { text } from "./texts.js";
import { html } from "./view.js";
import { shortcutList } from "./view_inbox.js";
import { attributeList, isSupervisor } from "./view_offer.js";

function close() {
  state.dialog = null;
  changed();
}

/** A native modal dialog, which keeps the focus inside and returns it when closed. */
class Modal extends Component {
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
  if (kind === "phone") {
    return html`<${Modal} key=${kind} title=${text("phoneTitle")}>${phone(sid)}<//>`;
  }
  if (kind === "inspect") {
    return html`<${Modal} key=${`inspect ${sid}`} title=${inspectTitle(sid)}><div class="body">${details && record(details)}</div><//>`;
  }
  return kind && html`<${Modal} key=${kind} title=${text("shortcuts")}><p class="body muted">${text("keysNote")}</p>${shortcutList()}<//>`;
}

function phone(sid) {
  const send = (event) => {
    event.preventDefault();
    const parameters = Object.fromEntries([...new FormData(event.target)].filter(([, value]) => value.trim()));
    decide(sid, "accept", parameters);
    event.target.closest("dialog").close();
  };
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
    <div class="foot"><button type="submit" class="primary">${text("call")}</button></div>
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

function inspectTitle(sid) {
  const { rows, progress, titleAttributes } = state.inbox;
  const reservation = rows.get(sid)?.reservation ?? progress.find((each) => each.reservation_sid === sid);
  return reservation ? taskTitle(reservation, titleAttributes) : shortSid(sid);
}

const SIDS = ["reservation_sid", "task_sid", "worker_sid", "workflow_sid", "task_queue_sid"];

function record(details) {
  if (details.Code) {
    return html`<p>${text("problemOther", { reason: details.Message })}</p>`;
  }
  return html`
    ${attributeList(details.task_attributes)}
    <section>
      <h3>${text("history")}</h3>
      <ol class="steps">${details.history.map((entry) => step(entry, details.worker_name))}</ol>
    </section>
    <section>
      <h3>${text("ids")}</h3>
      <dl class="sids">${SIDS.map((name) => details[name] && html`<div><dt>${name}</dt><dd class="mono">${details[name]}</dd></div>`)}</dl>
    </section>
    <details class="raw">
      <summary>${text("rawJson")}</summary>
      <pre tabindex="0">${JSON.stringify(details, null, 2)}</pre>
    </details>
  `;
}

const step = ({ at, to, by, note }, workerName) =>
  html`<li>
    <time>${timeOfDay(Date.parse(at))}</time> <strong>${to}</strong> <span class="muted">${text("by", { name: person(by, workerName) })}${note ? `. ${note}` : ""}</span>
  </li>`;
