// The inbox: banner, open offers, Reservations in progress, and offers that have just ended.

import { complete } from "./actions.js";
import { switchActivity } from "./activity.js";
import { isSoundBlocked, ring } from "./alerts.js";
import { serverNow } from "./clock.js";
import { duration, timeOfDay, titleParts } from "./format.js";
import { filterText, matcher } from "./filter.js";
import { arrange } from "./inbox.js";
import { SHORTCUTS } from "./keys.js";
import { preferences, setPreference } from "./preferences.js";
import { areActivitiesMissing, areRowsHeld, changed, holdRows, isAvailable, isOffline, releaseRows, select, state } from "./state.js";
import { text } from "./texts.js";
import { Component } from "./vendor.js";
import { html, icon, Page, pill, Ticking } from "./view.js";
import { filterField } from "./view_filter.js";
import { endedOffer, focusRow, isStray, isSupervisor, Offer } from "./view_offer.js";

const MAX_PROGRESS = 10;

export class InboxPage extends Page {
  /** The banner is below the rows, so that no row moves when the banner appears or disappears. */
  render({ pollNow }) {
    const shown = banner(pollNow);
    if (this.hadBanner && !shown) {
      state.uncoveredAt = performance.now();
    }
    this.hadBanner = shown !== null;
    return html`<main class="page">
      <div class="split inbox">
        <div>${state.inbox.loaded ? offers() : loading()}</div>
        <div class="rail"><${InProgress} /> ${shortcuts()}</div>
        <div>${justEnded()}</div>
      </div>
      ${shown}
    </main>`;
  }
}

export const notice = (tone, iconName, title, message, action) =>
  html`<div class="banner" data-tone=${tone} role=${tone === "red" ? "alert" : "status"}>
    ${icon(iconName)}
    <p><strong>${title}</strong> ${message}</p>
    ${action && html`<button type="button" onClick=${action.run}>${action.name}</button>`}
  </div>`;

/** Return the most severe banner, or null. */
export function banner(pollNow) {
  const { connection, activityNotice, inbox } = state;
  const dismiss = (changes) => ({
    name: text("dismiss"),
    run: () => {
      Object.assign(state, changes);
      changed();
    },
  });
  if (isOffline()) {
    const failed = state.activityProblem === "failed" && html`<br />${text("activityFailed")}.`;
    return missedUpdates("red", "downSince", "downText", pollNow, failed);
  }
  if (state.isDenied) {
    return notice("red", "last", text("problemDenied"), "", dismiss({ isDenied: false }));
  }
  if (state.activityProblem === "checking") {
    return notice("amber", "info", text("activityChecking"), text("activityCheckingText"));
  }
  if (state.activityProblem) {
    const still = text("activityFailedText", { activity: inbox.worker?.activity_name ?? text("unknown") });
    return notice("red", "last", text("activityFailed"), html`<${Ticking} value=${() => [state.activityReason?.(), still].filter(Boolean).join(" ")} />`, dismiss({ activityProblem: null }));
  }
  if (connection.state === "delayed") {
    return missedUpdates("amber", "delayedSince", "delayedText", pollNow);
  }
  if (inbox.worker && areActivitiesMissing()) {
    return notice("amber", "info", text("noSwitch"), html`${text("activitiesMissing")} ${nextTry("nextTry", state.activitiesRetryAt)}`);
  }
  if (activityNotice) {
    return activityBanner(activityNotice, dismiss);
  }
  if (state.hasNewVersion) {
    const reload = { name: text("reload"), run: () => location.reload() };
    return notice("blue", "info", text("newVersion"), text("newVersionText"), reload);
  }
  if (preferences.sound && isSoundBlocked()) {
    const run = () => {
      ring();
      changed();
    };
    return notice("blue", "info", text("soundBlocked"), text("soundBlockedText"), { name: text("turnOn"), run });
  }
  return null;
}

/** A message that counts down the seconds until the next attempt. */
const nextTry = (key, at) =>
  html`<${Ticking} value=${() => text(key, { n: Math.max(0, Math.ceil((at - performance.now()) / 1000)) })} />`;

function missedUpdates(tone, title, key, pollNow, more) {
  const { since, nextAt } = state.connection;
  if (!state.inbox.loaded) {
    return notice(tone, "net", text("offersNotLoaded"), nextTry("nextTry", nextAt), { name: text("tryNow"), run: pollNow });
  }
  return notice(tone, "net", text(title, { time: timeOfDay(since) }), html`${nextTry(key, nextAt)}${more}`, { name: text("tryNow"), run: pollNow });
}

function activityBanner({ name, at, isTimeout }, dismiss) {
  const available = state.activities.find((activity) => activity.available);
  const title = text(isTimeout ? "activityChangedByTaskRouter" : "activityChanged", { activity: name, time: timeOfDay(at) });
  const message = `${isTimeout ? `${text("activityChangedTimeout")} ` : ""}${text("activityChangedText")}`;
  const action = available
    ? { name: text("setMeTo", { activity: available.name }), run: () => switchActivity(available.sid) }
    : dismiss({ activityNotice: null });
  return notice("amber", "info", title, message, action);
}

/** The page's contents during the first load: blank rows, which are as tall as offers, if the load is noticeably slow. */
function loading() {
  return html`<section class="stack" aria-busy="true">
    <h1 class="vh">${text("loading")}</h1>
    ${state.isSlow && blankRows()}
  </section>`;
}

export const blankRows = () =>
  html`<ul class="offers" aria-hidden="true">${[1, 2, 3].map(() => html`<li class="offer blank"><span /><span /><span /></li>`)}</ul>`;

function offers() {
  const { inbox, selected } = state;
  arrange(inbox, serverNow(), areRowsHeld());
  if (!inbox.order.length && !filterText()) {
    return emptyInbox();
  }
  const matches = matcher();
  const shown = inbox.order.map((sid) => inbox.rows.get(sid)).filter(({ reservation }) => matches(reservation));
  return html`<section class="stack" aria-labelledby="offers">
    <div class="bar">
      <h1 id="offers" tabindex="-1">${text("open")}</h1>
      <p class="muted small" role="status">${listNote(shown.length)}</p>
      ${filterField()}
    </div>
    ${!shown.length && html`<p class="nothing">${inbox.order.length ? text("noMatchOffers", { n: inbox.order.length }) : text("noOffers")}</p>`}
    <ul class="offers" onPointerEnter=${holdRows} onPointerMove=${holdRows} onPointerLeave=${releaseRows}>
      ${shown.map(
        (row) =>
          html`<${Offer}
            key=${row.sid}
            row=${row}
            isSelected=${row.sid === selected}
            isOffline=${isOffline()}
            language=${`${preferences.language} ${preferences.shortcuts}`}
            activities=${state.activities}
          />`,
      )}
    </ul>
  </section>`;
}

function listNote(n) {
  const { order, rows, isPendingTruncated } = state.inbox;
  if (filterText()) {
    return text("filtered", { n, all: order.length });
  }
  if (isPendingTruncated) {
    return text("truncated", { n: order.length });
  }
  // A longer note could wrap onto a second line and move the rows.
  const deadlines = order.map((sid) => rows.get(sid).deadline);
  return text(deadlines.some((each, index) => each < deadlines[index - 1]) ? "unsorted" : "sorted");
}

function emptyInbox() {
  const { worker } = state.inbox;
  let message = text("empty");
  if (isAvailable(worker)) {
    message = text("emptyAvailable");
  } else if (isAvailable(worker) === false) {
    message = text("emptyUnavailable", { activity: worker.activity_name });
  }
  return html`<div class="nothing">
    ${icon("tray")}
    <h1 id="offers" tabindex="-1">${text("noOffers")}</h1>
    <p>${message}</p>
  </div>`;
}

/** The Tasks in progress. If the Task with the focus leaves the list, the next Task or the heading gets the focus. */
class InProgress extends Component {
  render() {
    this.focused = taskElements().findIndex((element) => element.contains(document.activeElement));
    return inProgress();
  }

  componentDidUpdate() {
    if (this.focused >= 0 && document.activeElement === document.body) {
      const elements = taskElements();
      const next = elements[Math.min(this.focused, elements.length - 1)];
      (next ?? document.querySelector("#progress")).focus();
      if (next) {
        // Ignore a shortcut pressed at this moment, which is not meant for the newly focused Task.
        select(next.id.slice(-34), { isAutomatic: true });
      }
    }
  }
}

const taskElements = () => [...document.querySelectorAll(".list > li")];

function inProgress() {
  const progress = state.inbox.progress.filter(matcher());
  const { isTruncated, worker } = state.inbox;
  return html`<section class="panel" aria-labelledby="progress">
    <header>
      <h2 id="progress" tabindex="-1">${text("inProgress")}</h2>
      <span class="muted small num">${progress.length || ""}${progress.length > 0 && isTruncated && "+"}</span>
    </header>
    ${progress.length
      ? html`<ul class="list">${progress.slice(0, MAX_PROGRESS).map(progressItem)}</ul>`
      : !isTruncated && html`<p class="in muted small">${state.inbox.loaded ? text("noneInProgress") : "…"}</p>`}
    ${progress.length > MAX_PROGRESS && html`<p class="in muted small">${text("andMore", { n: progress.length - MAX_PROGRESS })}</p>`}
    ${isTruncated && html`<p class="in muted small">${text(worker ? "olderProgress" : "truncatedProgress")}</p>`}
  </section>`;
}

function progressItem(reservation) {
  const { reservation_sid: sid, status } = reservation;
  const [head, ...rest] = titleParts(reservation, state.inbox.titleAttributes);
  const { isBusy, label, problem } = state.inbox.completions.get(sid) ?? {};
  const isSelected = state.selected === sid;
  const since = Date.parse(reservation.reserved_at);
  const names = [isSupervisor() && reservation.worker_name, reservation.task_queue_name].filter(Boolean).join(", ");
  // An accepted offer keeps its row, and the ID of the row, for a few seconds. Its Task therefore needs a different ID.
  const id = `${state.inbox.rows.has(sid) ? "task" : "row"}-${sid}`;
  return html`<li key=${sid} id=${id} tabindex="-1" aria-current=${isSelected ? "true" : null} onFocusIn=${focusRow(sid)}>
    <p class="between">
      <strong>${head}</strong>
      ${status === "wrapping" ? pill("violet", "flag", text("wrapping")) : pill("green", "check", text("accepted"))}
    </p>
    ${rest.length > 0 && html`<p class="muted small rest">${rest.join(": ")}</p>`}
    ${names && html`<p class="muted small">${names}</p>`}
    <p class="between">
      <span class="muted small num"><${Ticking} value=${() => duration(serverNow() - since)} /></span>
      <button
        type="button"
        aria-label=${`${text("complete")}: ${[head, ...rest].join(": ")}`}
        aria-disabled=${isOffline() || isBusy ? "true" : null}
        onClick=${(event) => isStray(event) || complete(sid)}
      >
        ${text(isBusy ? label : "complete")}${isSelected && preferences.shortcuts && html`<kbd aria-hidden="true">C</kbd>`}
      </button>
    </p>
    ${problem && html`<p class="wrong">${icon("info")}${problem()}</p>`}
  </li>`;
}

export const shortcutList = () =>
  html`<dl class="pairs">
    ${SHORTCUTS.filter(([name]) => isSupervisor() || name !== "createTask").map(([name, keys]) => html`<div key=${name}><dt>${text(name)}</dt><dd>${keys.map((key) => html`<kbd>${key}</kbd>`)}</dd></div>`)}
  </dl>`;

function shortcuts() {
  const toggle = () => {
    setPreference("shortcuts", !preferences.shortcuts);
    changed();
  };
  return html`<section class="panel keys" aria-labelledby="keys">
    <header>
      <h2 id="keys">${text("shortcuts")}</h2>
      <button class="quiet" type="button" onClick=${toggle}>${text(preferences.shortcuts ? "turnOff" : "turnOn")}</button>
    </header>
    ${preferences.shortcuts && shortcutList()}
  </section>`;
}

function justEnded() {
  const matches = matcher();
  const ended = state.inbox.ended.filter(({ reservation }) => matches(reservation));
  if (!ended.length) {
    return null;
  }
  return html`<section class="stack" aria-labelledby="ended">
    <div class="bar">
      <h2 id="ended">${text("justEnded")}</h2>
      <p class="muted small">${text("lastMinutes")}</p>
    </div>
    <ul class="offers ended">${ended.map(endedOffer)}</ul>
  </section>`;
}
