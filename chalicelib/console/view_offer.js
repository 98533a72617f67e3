// A row in the list of open offers, or in the list of offers that have just ended.

import { decide, inspect, openDialog, rejection } from "./actions.js";
import { announce } from "./alerts.js";
import { serverNow } from "./clock.js";
import { attributeText, countdown, duration, fields, label, prettyJson, timeOfDay, urgency } from "./format.js";
import { changeRow, rowTitle, timeout } from "./inbox.js";
import { Component } from "./vendor.js";
import { preferences } from "./preferences.js";
import { changed, isOffline, select, state } from "./state.js";
import { text } from "./texts.js";
import { html, icon, pill, Ticking } from "./view.js";

/** Milliseconds after which a row shows that no response to its decision has arrived. */
const SLOW_RESPONSE = 1500;
/** Milliseconds for which the Accept, Reject and Complete buttons ignore clicks after a banner has disappeared, because the clicks may have been meant for the banner. */
const STRAY_PERIOD = 400;

const ENDINGS = {
  __proto__: null,
  accepted: ["green", "check"],
  completed: ["green", "check"],
  rejected: ["gray", "cross"],
  taken: ["violet", "person"],
  timeout: ["gray", "stop"],
  withdrawn: ["gray", "back"],
  gone: ["gray", "back"],
  wrapping: ["violet", "flag"],
  pending: ["blue", "calm"],
};

/** The kind of row for each status of a Reservation. */
export const STATUSES = {
  __proto__: null,
  pending: "pending",
  accepted: "accepted",
  wrapping: "wrapping",
  completed: "completed",
  rejected: "rejected",
  timeout: "timeout",
  canceled: "withdrawn",
  rescinded: "taken",
  gone: "gone",
};

export const statusKind = (status) => STATUSES[status] ?? "gone";

export const isSupervisor = () => state.session?.claims.role !== "worker";

/** Return the urgency of a row that is open or whose decision has just been sent. Otherwise, return "over" (open, but its time is up), "ended" or "checking". */
function rowStatus(row) {
  const left = row.deadline - serverNow();
  if (row.phase === "open") {
    return left > 0 ? urgency(left, timeout(row.reservation)) : "over";
  }
  if (row.phase === "deciding" && serverNow() - row.sentAt < SLOW_RESPONSE && left > 0) {
    return urgency(left, timeout(row.reservation));
  }
  return row.phase === "ended" ? "ended" : "checking";
}

/** Keeps the focus in a row whose focused button disappears, and announces a missing response. */
class Row extends Ticking {
  render(props) {
    this.previous = this.shown;
    this.hadFocus = this.element()?.contains(document.activeElement);
    return super.render(props);
  }

  componentDidUpdate() {
    const { row } = this.props;
    if (this.hadFocus && document.activeElement === document.body) {
      this.element().focus();
    }
    if (this.shown === "checking" && this.previous !== "checking" && row.phase !== "vanished") {
      announce(text("announceEnding", { ending: text("checking"), title: rowTitle(state.inbox, row) }));
    }
  }

  element = () => document.getElementById(`row-${this.props.row.sid}`);
}

/** A row. It is rendered again only if a property that affects it, or its status, has changed. */
export class Offer extends Component {
  shouldComponentUpdate(next) {
    return ["row", "isSelected", "isOffline", "language", "activities"].some((name) => next[name] !== this.props[name]);
  }

  render({ row, isSelected }) {
    return html`<${Row}
      key=${row.sid}
      row=${row}
      value=${() => rowStatus(row)}
      show=${(shown) => (["calm", "soon", "last"].includes(shown) ? openRow(row, shown, isSelected) : closedRow(row, isSelected))}
    />`;
  }
}

/**
 * Select a row that gets the focus from the keyboard. (After a click, `clickRow` selects the row.) The selection changes
 * the heights of rows, so scroll to the focused button. If the row itself has the focus, scroll to its beginning, because
 * a selected row may be taller than the window.
 */
export const focusRow = (sid) => ({ target }) => {
  if (target.matches(":focus-visible")) {
    select(sid);
    queueMicrotask(() => (target.matches("li") ? target.firstElementChild : target).scrollIntoView({ block: "nearest" }));
  }
};

/** Select a clicked row. Do not select it when one of its buttons is clicked, so that no row moves. */
const clickRow = (sid) => ({ target }) => target.closest("button") || select(sid);

/** Return whether a click was probably meant for a banner that has just disappeared. `detail` is 0 for the keyboard. */
export const isStray = ({ detail }) => detail > 0 && performance.now() - state.uncoveredAt < STRAY_PERIOD;

function openRow(row, shown, isSelected) {
  const title = rowTitle(state.inbox, row);
  return html`<li
    id=${`row-${row.sid}`}
    class="offer"
    data-urgency=${shown}
    data-new=${row.isNew}
    aria-current=${isSelected ? "true" : null}
    tabindex="-1"
    onFocusIn=${focusRow(row.sid)}
    onClick=${clickRow(row.sid)}
  >
    <div class="clock">
      ${icon(shown)}
      <${Ticking} value=${() => countdown(row.deadline - serverNow())} show=${(time) => html`<span class="digits" role="timer" aria-label=${text("timeLeft", { time })}>${time}</span>`} />
      <span class="word">${text(shown)}</span>
      <${Ticking} value=${() => Math.max(0, Math.ceil((row.deadline - serverNow()) / 1000))} show=${(left) => html`<progress max=${timeout(row.reservation) / 1000} value=${left} aria-hidden="true" />`} />
    </div>
    <div class="what">
      <h2 class="title">${title}</h2>
      ${meta(row)} ${ringing(row)}
      ${row.problem && html`<p class="wrong">${icon("info")}<${Ticking} value=${row.problem} /></p>`}
    </div>
    <div class="acts">${button(row, "accept", title, isSelected)} ${button(row, "reject", title, isSelected)}</div>
    ${isSelected && task(row, actions(row))}
  </li>`;
}

function button(row, verb, title, isSelected) {
  const key = verb[0].toUpperCase();
  const isUnavailable = isOffline() || row.phase === "deciding";
  const style = verb === "accept" ? (isSelected ? "primary" : "tinted") : "";
  return html`<button
    type="button"
    class=${style}
    aria-label=${`${text(verb)}: ${title}`}
    aria-keyshortcuts=${isSelected && preferences.shortcuts ? key : null}
    aria-disabled=${isUnavailable ? "true" : null}
    title=${isOffline() ? text("downButton") : null}
    onClick=${(event) => isStray(event) || decide(row.sid, verb, verb === "reject" ? rejection(row.sid) : {})}
  >
    ${text(verb)}${isSelected && preferences.shortcuts && html`<kbd aria-hidden="true">${key}</kbd>`}
  </button>`;
}

/** The first entries of a row's second line: the names of the Worker, TaskQueue or Workflow, and TaskChannel. */
export function nameParts(reservation) {
  const { worker_name: worker, task_queue_name: queue, workflow_name: workflow, task_channel_name: channel } = reservation;
  return [
    isSupervisor() && html`<strong>${worker ?? text("worker")}</strong>`,
    queue ?? workflow,
    channel && channel !== "default" && label(channel),
  ].filter(Boolean);
}

function meta({ reservation }) {
  const created = Date.parse(reservation.task_created_at ?? reservation.reserved_at);
  const parts = [
    ...nameParts(reservation),
    reservation.task_priority !== null && text("priority", { n: reservation.task_priority }),
    html`<${Ticking} value=${() => text("waiting", { time: duration(serverNow() - created) })} />`,
    reservation.claimed && text("beingDecided"),
  ];
  return html`<ul class="meta">${parts.filter(Boolean).map((part) => html`<li>${part}</li>`)}</ul>`;
}

function ringing({ reservation }) {
  if (!reservation.instruction_sent) {
    return null;
  }
  return html`<p class="ringing">${icon("phone")}${text(isSupervisor() ? "ringingOther" : "ringing")}</p>`;
}

/** The Task's attributes and links in the selected row. They remain after the offer ends, so that no row moves. */
function task({ reservation, sid }, actions = null) {
  return html`<div class="task">
    ${attributeList(reservation.task_attributes)}
    <div class="after">
      ${actions}
      <div class="links">
        <button type="button" class="quiet" aria-keyshortcuts=${preferences.shortcuts ? "I" : null} onClick=${() => inspect(sid)}>${text("inspect")}</button>
        <details class="raw">
          <summary>${text("rawJson")}</summary>
          <pre tabindex="0">${prettyJson(reservation.task_attributes)}</pre>
        </details>
      </div>
    </div>
  </div>`;
}

/** The less frequent actions of the selected row. */
function actions({ reservation, sid, phase }) {
  const isUnavailable = isOffline() || phase === "deciding";
  return html`
      <button type="button" aria-disabled=${isUnavailable ? "true" : null} onClick=${() => isUnavailable || openDialog({ kind: "phone", sid })}>
        ${icon("phone")}${text("acceptByPhone")}${preferences.shortcuts && html`<kbd aria-hidden="true">P</kbd>`}
      </button>
      ${state.activities.length > 0 && activityAfterRejection(sid, reservation)}
  `;
}

function width(value) {
  if (value.length > 60) {
    return "wide";
  }
  return value.length > 24 ? "long" : "";
}

export function attributeList(attributes) {
  const entries = fields(attributes ?? {});
  if (!entries.length) {
    return html`<p class="muted">${text("noAttributes")}</p>`;
  }
  const shown = entries.map(([name, value]) => ({ name, ...attributeText(value) }));
  return html`<dl class="attributes">
    ${shown.map(({ name, shown: value, isCode }) => html`<div class=${width(value)}><dt>${name}</dt><dd class=${isCode ? "mono" : ""}>${value}</dd></div>`)}
  </dl>`;
}

function activityAfterRejection(sid, { worker_name: worker }) {
  const label = isSupervisor()
    ? text("afterRejectionOther", { worker: worker ?? text("worker") })
    : text("afterRejection");
  const choose = ({ target }) => {
    changeRow(state.inbox, sid, { activityAfterRejection: target.value });
    changed();
  };
  return html`<label>
    ${label}
    <select value=${rejection(sid).activity_sid ?? ""} onChange=${choose}>
      <option value="">${text("unchanged")}</option>
      ${state.activities.map(({ sid: activity, name }) => html`<option key=${activity} value=${activity}>${name}</option>`)}
    </select>
  </label>`;
}

/** A row without a countdown or decision buttons, because it has ended or its status is being checked. */
function closedRow(row, isSelected) {
  const isEnded = row.phase === "ended";
  return html`<li
    id=${`row-${row.sid}`}
    class="offer"
    data-end=${isEnded ? row.ending.kind : "checking"}
    aria-current=${isSelected ? "true" : null}
    tabindex="-1"
    onFocusIn=${focusRow(row.sid)}
  >
    ${isEnded ? endingPill(row.ending.kind) : pill("blue", "spin", text("checking"), "ending")}
    <div class="what">
      <h2 class="title">${rowTitle(state.inbox, row)}</h2>
      ${endedMeta(row)}
    </div>
    <p class="acts">${isEnded ? row.ending.note() : html`<${Ticking} value=${() => checkingText(row)} />`}</p>
    ${isSelected && task(row)}
  </li>`;
}

export const endingPill = (kind, content = text(kind)) => pill(...ENDINGS[kind], content, "ending");

function endedMeta({ reservation, phase, verb, sentAt, ending }) {
  const time = verb && phase !== "ended" && timeOfDay(sentAt);
  const parts = [
    ...nameParts(reservation),
    time && text(verb === "accept" ? "acceptSent" : "rejectSent", { time }),
    ending && html`<time>${timeOfDay(ending.at)}</time>`,
  ];
  return html`<ul class="meta">${parts.filter(Boolean).map((part) => html`<li>${part}</li>`)}</ul>`;
}

function checkingText({ phase, retryAt, undecidedFrom }) {
  if (phase === "vanished") {
    return text("checkingEnd");
  }
  if (phase === "open") {
    return text("checkingOver");
  }
  if (isOffline()) {
    return text("checkingDown");
  }
  const now = performance.now();
  // The first check does not wait for the next poll. If the first check fails, the next poll is the next check.
  const next = Math.max(retryAt ?? 0, undecidedFrom > now ? 0 : state.connection.nextAt);
  const n = Math.max(1, Math.ceil((next - now) / 1000));
  return text("checkingAt", { n });
}

/** The button that opens the record of a row in History or in "Just ended". */
export const inspectButton = (sid, title) =>
  html`<button type="button" class="quiet" aria-label=${`${text("inspect")}: ${title}`} onClick=${() => inspect(sid)}>${text("inspect")}</button>`;

/** A row of the list of offers that have just ended. */
export function endedOffer(row) {
  const { kind, note } = row.ending;
  const isInProgress = kind === "accepted" && state.inbox.progress.some((each) => each.reservation_sid === row.sid);
  const title = rowTitle(state.inbox, row);
  return html`<li key=${row.sid} class="offer" data-end=${kind}>
    ${endingPill(kind)}
    <div class="what"><h3 class="title">${title}</h3>${endedMeta(row)}</div>
    <p class="acts">${isInProgress ? html`<a href=${`#row-${row.sid}`}>${text("inProgress")}</a>` : html`<span>${note()}</span>`}${inspectButton(row.sid, title)}</p>
  </li>`;
}
