// History: recorded Reservations, by status and period.

import { inspect } from "./actions.js";
import { filterText, matcher } from "./filter.js";
import { dateAndTime, taskTitle, timeOfDay } from "./format.js";
import { chooseHistory, historyPeriod, historyStatus, loadHistory, PERIODS } from "./history.js";
import { ending } from "./inbox.js";
import { selectHistory, state } from "./state.js";
import { text } from "./texts.js";
import { html, icon, Page } from "./view.js";
import { filterField } from "./view_filter.js";
import { banner, blankRows } from "./view_inbox.js";
import { endingPill, inspectButton, isSupervisor, nameParts, statusKind, STATUSES } from "./view_offer.js";

export const PERIOD_TEXTS = { hour: "lastHour", day: "lastDay", week: "lastWeek", all: "unlimited" };

/** The page. It loads the list when the user opens it, but keeps a loaded list when the user returns from Inspect. */
export class HistoryPage extends Page {
  componentDidMount() {
    if (!state.isReturning || !state.history.rows.length) {
      scrollTo(0, 0);
      loadHistory();
    }
  }

  render({ pollNow }) {
    const { rows, loading } = state.history;
    const shown = rows.filter(matcher());
    return html`<main class="page">
      ${banner(pollNow)}
      <section class="stack" aria-labelledby="history" aria-busy=${loading ? "true" : null}>
        <div class="bar">
          <h1 id="history" tabindex="-1">${text("history")}</h1>
          <div class="tools">
            <p class="muted small num" role="status">${summary(rows, shown)}</p>
            <button type="button" class="quiet" aria-disabled=${loading ? "true" : null} onClick=${() => loading || loadHistory()}>${text("refresh")}</button>
            ${isSupervisor() && state.supervisor?.exportTools(rows.length > 0)}
          </div>
        </div>
        <div class="filters">
          ${choice("status", text("status"), historyStatus(), statusOptions())}
          ${choice("period", text("period"), historyPeriod(), Object.keys(PERIODS).map((name) => [name, text(PERIOD_TEXTS[name])]))}
          ${filterField()}
        </div>
        ${shown.length > 0 && html`<ul class="offers ended">${shown.map(historyRow)}</ul>`}
        ${belowRows(rows, shown)}
      </section>
    </main>`;
  }
}

const statusOptions = () => [["", text("allStatuses")], ...Object.keys(STATUSES).map((status) => [status, text(statusKind(status))])];

function choice(name, label, value, options) {
  return html`<div class="field">
    <label for=${name}>${label}</label>
    <select id=${name} value=${value} onChange=${({ target }) => chooseHistory(name, target.value)}>
      ${options.map(([each, label]) => html`<option key=${each} value=${each}>${label}</option>`)}
    </select>
  </div>`;
}

function summary(rows, shown) {
  const { loading, loadedAt, cursor } = state.history;
  if (!rows.length || loading === "list") {
    return "";
  }
  const time = timeOfDay(loadedAt);
  const n = cursor ? `${rows.length}+` : rows.length;
  return filterText() ? text("filtered", { n: shown.length, all: n }) : text("historySummary", { n, time });
}

/** The area below the rows, which explains an empty list or a failure, or contains the button for more rows. */
function belowRows(rows, shown) {
  const { loading, isSlow, problem, cursor } = state.history;
  if (!rows.length && loading === "list") {
    return isSlow && blankRows();
  }
  if (!rows.length && problem) {
    return failed(problem, loadHistory, "historyFailed");
  }
  return html`
    ${!shown.length && html`<div class="nothing">${icon("tray")}<h2>${text(rows.length ? "noMatch" : "noHistory")}</h2><p>${text(rows.length ? "noMatchText" : cursor ? "noHistoryYet" : "noHistoryText")}</p></div>`}
    ${moreButton(state.history, loadHistory, "more")}
  `;
}

export const failed = (problem, load, title) => html`<div class="nothing" role="alert">
  ${icon("last")}<h2>${text(title)}</h2>
  <p>${problem()}</p>
  <button type="button" onClick=${() => load()}>${text("tryAgain")}</button>
</div>`;

/** The button that loads more rows and stays visible while they load, and the reason for a failure. */
export const moreButton = ({ cursor, loading, isSlow, problem }, load, labelKey) => html`
  ${loading && isSlow && html`<p class="muted" role="status">${text("loadingHistory")}</p>`}
  ${problem && html`<p class="wrong" role="alert">${icon("info")}${problem()}</p>`}
  ${cursor && html`<button type="button" class="more" aria-disabled=${loading ? "true" : null} onClick=${() => loading || load("more")}>${text(problem ? "tryAgain" : labelKey)}</button>`}
`;

/** A row like those in "Just ended". A click opens the record. */
function historyRow(reservation) {
  const { reservation_sid: sid, status, reserved_at: at } = reservation;
  const kind = statusKind(status);
  const title = taskTitle(reservation, state.inbox.titleAttributes);
  const parts = [...nameParts(reservation), html`<time datetime=${at}>${dateAndTime(Date.parse(at))}</time>`];
  return html`<li
    key=${sid}
    id=${`row-${sid}`}
    class="offer past"
    data-end=${kind}
    tabindex="-1"
    aria-current=${state.history.selected === sid ? "true" : null}
    onFocusIn=${({ target }) => target.matches(":focus-visible") && selectHistory(sid)}
    onClick=${({ target }) => target.closest("button") || inspectRow(sid)}
  >
    ${endingPill(kind)}
    <div class="what">
      <h2 class="title">${title}</h2>
      <ul class="meta">${parts.map((part) => html`<li>${part}</li>`)}</ul>
    </div>
    <p class="acts">${status !== "pending" && html`<span>${ending(reservation, state.inbox.principal).note()}</span>`}${inspectButton(sid, title)}</p>
  </li>`;
}

function inspectRow(sid) {
  selectHistory(sid);
  inspect(sid);
}
