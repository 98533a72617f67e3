// The dialogs for phone instructions, for replacing the session, and for the shortcuts.

import { decide, obstacle } from "./actions.js";
import { shortSid } from "./format.js";
import { Component, createRef } from "./vendor.js";
import { drafts, storeDraft } from "./session.js";
import { changed, state } from "./state.js";
import { text } from "./texts.js";
import { html, icon } from "./view.js";
import { shortcutList } from "./view_inbox.js";
import { isSupervisor } from "./view_offer.js";

function close() {
  state.dialog = null;
  changed();
}

/**
 * A native modal dialog, which keeps the focus inside, and restores the focus when it is closed. Its key is `state.dialog`, so that
 * each dialog gets a new component. When the browser reports that a dialog was closed, a different dialog may already be open.
 */
export class Modal extends Component {
  element = createRef();
  shown = state.dialog;

  componentDidMount() {
    this.element.current.showModal();
  }

  render({ title, children }) {
    return html`<dialog ref=${this.element} aria-labelledby="dialog-title" onClose=${() => this.shown === state.dialog && close()}>
      <div class="head">
        <h2 id="dialog-title">${title}</h2>
        <button type="button" class="quiet" onClick=${() => this.element.current.close()}>${text("close")}</button>
      </div>
      ${children}
    </dialog>`;
  }
}

export function dialog() {
  const { kind, sid } = state.dialog ?? {};
  if (kind === "link") {
    return html`<${Modal} key=${state.dialog} title=${text("linkTitle")}>${linkQuestion(state.dialog)}<//>`;
  }
  if (kind === "phone") {
    return html`<${Modal} key=${state.dialog} title=${text("acceptByPhone")}>${phone(sid)}<//>`;
  }
  return kind && html`<${Modal} key=${state.dialog} title=${text("shortcuts")}><p class="body muted">${text("keysNote")}</p>${shortcutList()}<//>`;
}

/** Ask whether to replace the session with that of a sign-in link or of a different company account. */
function linkQuestion({ claims, accept }) {
  const acceptLink = (event) => {
    event.target.closest("dialog").close();
    accept();
  };
  const [name, other] = [state.session.claims, claims].map(sessionName);
  return html`
    <p class="body">${text("linkText", { name, other })}</p>
    <div class="foot"><button type="button" onClick=${acceptLink}>${text("linkAccept")}</button></div>
  `;
}

/** Return a name for the session that the claims describe. The API has not verified the claims of a link. */
const sessionName = ({ identity, role, workerSid }) =>
  [identity || text(role), workerSid && shortSid(workerSid)].filter(Boolean).join(" ");

function phone(sid) {
  const { isSending, problem, field: wrongField } = state.dialog;
  const obstacleNow = !isSending && obstacle(sid);
  const problemNow = obstacleNow || (!wrongField && problem?.());
  const props = (name) => ({ name, problem: wrongField === name && problem });
  return html`<form onSubmit=${(event) => sendPhone(event, sid)}>
    <div class="body">
      <p class="muted">${text(isSupervisor() ? "phoneTextOther" : "phoneText")}</p>
      <div class="field">
        <label for="instruction">${text("instruction")}</label>
        <select id="instruction" name="instruction" autofocus value=${drafts.instruction ?? "conference"} onChange=${storeInput("instruction")}>
          <option value="conference">${text("conference")}</option>
          <option value="dequeue">${text("dequeue")}</option>
        </select>
      </div>
      ${isSupervisor() && field(props("to"), text("phoneTo"), text("phoneToHint"), numberDraft(sid))}
      ${field(props("from"), text("phoneFrom"), text("phoneFromHint"))}
    </div>
    <div class="foot">
      ${problemNow && html`<p class="wrong" role="alert">${icon("info")}${problemNow}</p>`}
      ${isSending && html`<p class="muted" role="status">${text("waitingForAnswer")}</p>`}
      <button type="submit" class="primary" aria-disabled=${isSending || obstacleNow ? "true" : null}>${text("call")}</button>
    </div>
  </form>`;
}

/** Send the instruction. If it had no effect, the dialog stays open and shows the reason. Otherwise, the row shows the outcome. */
async function sendPhone(event, sid) {
  event.preventDefault();
  const form = event.target;
  const shown = state.dialog;
  if (shown.isSending || obstacle(sid)) {
    changed();
    return;
  }
  Object.assign(shown, { isSending: true, problem: null, field: null });
  const parameters = Object.fromEntries([...new FormData(form)].filter(([, value]) => value.trim()));
  await decide(sid, "accept", parameters);
  const row = state.inbox.rows.get(sid);
  const hadNoEffect = row?.phase === "open" && row.problem;
  if (!hadNoEffect) {
    // The number is needed only for a retry.
    storeDraft(numberDraft(sid));
  }
  if (state.dialog !== shown) {
    return;
  }
  if (hadNoEffect) {
    Object.assign(shown, { isSending: false, problem: row.problem, field: form.elements[row.field] ? row.field : null });
    form.elements[row.field]?.focus();
    changed();
  } else {
    form.closest("dialog").close();
    close();
  }
}

const storeInput = (name) => ({ target }) => storeDraft(name, target.value);

/** Return the name of the draft that contains the number to call for an offer. */
const numberDraft = (sid) => `to ${sid}`;

function field({ name, problem }, label, hint, draft = name) {
  return html`<div class="field">
    <label for=${name}>${label}</label>
    <input id=${name} name=${name} type="tel" autocomplete="off" value=${drafts[draft] ?? ""} onInput=${storeInput(draft)} aria-invalid=${problem ? "true" : null} aria-describedby=${`${name}-hint`} />
    ${problem ? html`<p id=${`${name}-hint`} class="wrong">${icon("last")}<span>${problem()}</span></p>` : html`<p id=${`${name}-hint`} class="hint">${hint}</p>`}
  </div>`;
}

/** A button that copies a SID. The browser, or its administrator, may refuse access to the clipboard. */
export class Copy extends Component {
  copy = async () => {
    try {
      await navigator.clipboard.writeText(this.props.value);
      this.setState({ outcome: "copied" });
    } catch {
      this.setState({ outcome: "copyFailed" });
    }
  };

  render({ label }, { outcome }) {
    const spoken = outcome ? `${text(outcome)}: ${label}` : text("copySid", { label });
    return html`<button type="button" class="quiet" aria-label=${spoken} onClick=${this.copy}>${text(outcome ?? "copy")}</button>`;
  }
}
