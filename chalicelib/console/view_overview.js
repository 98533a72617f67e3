// The supervisor's overview: figures for the last 24 hours, Workers, and the last sweeps.

import { openDialog } from "./actions.js";
import { serverNow } from "./clock.js";
import { dateAndTime, duration, number, shortDuration, shortSid, timeOfDay } from "./format.js";
import { openRows } from "./inbox.js";
import { preferences } from "./preferences.js";
import { isOffline, state } from "./state.js";
import { refreshStatistics } from "./statistics.js";
import { text } from "./texts.js";
import { html, icon, Page, pill, Ticking } from "./view.js";
import { charts, hourOf, hourTable, isCounted, legend, patterns, peakOf, SERIES, swatch } from "./view_chart.js";
import { Copy } from "./view_dialogs.js";
import { banner, notice } from "./view_inbox.js";

/** Age in ms above which the statistics are outdated, because several sweeps have not updated them. */
const OUTDATED = 180_000;
const MAX_QUEUES = 10;
const INITIAL_SWEEPS = 8;

/** The page, which refreshes the statistics while it is open. */
export class OverviewPage extends Page {
  componentDidMount() {
    scrollTo(0, 0);
    this.stop = refreshStatistics();
  }

  componentWillUnmount() {
    this.stop();
  }

  showAll = () => this.setState({ isFull: true });

  render({ pollNow }, { isFull }) {
    const { shown, problem, isLoading } = state.statistics;
    const isFirst = isLoading && !shown && !problem;
    return html`<main class="page overview" aria-busy=${isFirst ? "true" : null}>
      ${banner(pollNow) ?? warning()}
      <div class="bar">
        <h1 id="overview" tabindex="-1">${text("overview")}</h1>
        <div class="tools">
          ${shown?.updated_at && html`<p class="muted small num"><${Ticking} value=${() => text("updatedAgo", { time: duration(age(shown)) })} /></p>`}
          <button type="button" class="primary" aria-keyshortcuts=${preferences.shortcuts ? "T" : null} onClick=${() => openDialog({ kind: "create" })}>${text("createTask")}</button>
        </div>
      </div>
      ${shown?.updated_at ? figures(shown, isFull, this.showAll) : noFigures()}
    </main>`;
  }
}

/** Return the age of the newest counts in ms. If the sweep had no time to count, the counts are older than the sweep's other figures. */
function age({ updated_at: at, hours }) {
  const counted = hours.filter(isCounted).map((hour) => Date.parse(hour.counted_at));
  return serverNow() - Math.max(...(counted.length ? counted : [Date.parse(at)]));
}

/** Return a banner if the figures are outdated or could not be updated; otherwise null. */
function warning() {
  const { shown, problem, nextAt, load } = state.statistics;
  if (!shown?.updated_at || isOffline()) {
    return null;
  }
  if (problem) {
    const n = () => Math.max(0, Math.ceil((nextAt - performance.now()) / 1000));
    const message = html`${problem()} <${Ticking} value=${() => text("nextTry", { n: n() })} />`;
    return notice("amber", "last", text("statisticsFailed"), message, { name: text("tryNow"), run: load });
  }
  return age(shown) > OUTDATED ? notice("amber", "last", text("outdated", { time: duration(age(shown)) }), text("outdatedText")) : null;
}

/** The page's contents while there are no figures: an error, an explanation or blank tiles. */
function noFigures() {
  const { shown, problem, isSlow, load } = state.statistics;
  if (problem) {
    return html`<div class="nothing" role="alert">
      ${icon("last")}<h2>${text("statisticsFailed")}</h2><p>${problem()}</p>
      <button type="button" onClick=${load}>${text("tryAgain")}</button>
    </div>`;
  }
  if (shown) {
    return html`<div class="nothing" role="status">${icon("tray")}<h2>${text("noStatistics")}</h2><p>${text("noStatisticsText")}</p></div>`;
  }
  return isSlow && html`<p class="vh" role="status">${text("loadingHistory")}</p><div class="tiles" aria-hidden="true">${[1, 2, 3, 4, 5, 6].map(() => html`<div class="tile blank"><span /><span /></div>`)}</div>`;
}

function figures(shown, isFull, showAll) {
  return html`
    ${patterns()} ${tiles(shown)}
    <div class="split">
      <div>${hoursPanel(shown.hours)} ${sweepsPanel(shown.sweeps, isFull, showAll)}</div>
      <div>${workersPanel(shown)} ${queuesPanel(shown.oldest_waiting)}</div>
    </div>
  `;
}

// Tiles

function tiles(shown) {
  const hours = shown.hours.filter(isCounted);
  const sum = (count) => hours.reduce((total, hour) => total + count(hour), 0);
  const total = sum((hour) => hour.total);
  const isLowerBound = hours.length < shown.hours.length || hours.some((hour) => hour.at_least);
  const figure = (value) => (hours.length ? `${isLowerBound ? "≥ " : ""}${number(value)}` : "–");
  const share = (value) => (total ? number(value / total, { style: "percent", maximumFractionDigits: 1 }) : "");
  const figureTile = (name, key, note) => tile(html`${swatch(name)}${text(key)}`, figure(sum(SERIES[name])), note(sum(SERIES[name])));
  const timeoutNote = (value) => [share(value), peakOf("timeout", hours) && text("mostAt", { time: hourOf(peakOf("timeout", hours).hour) })].filter(Boolean).join(", ");
  return html`<dl class="tiles">
    ${figureTile("pending", "open", () => oldestNote(shown))}
    ${figureTile("accepted", "acceptedMany", (value) => total > 0 && text("shareOf", { share: share(value), n: figure(total) }))}
    ${figureTile("rejected", "rejectedMany", share)}
    ${figureTile("timeout", "timeoutMany", timeoutNote)}
    ${acceptanceTile(shown.acceptance)}
    ${sweepTile(shown.sweeps[0])}
  </dl>`;
}

const tile = (label, value, note) => html`<div class="tile">
  <dt>${label}</dt>
  <dd class="big">${value}</dd>
  ${note && html`<dd class="note">${note}</dd>`}
</div>`;

function oldestNote({ oldest_waiting: oldest, taskrouter_updated_at: at }) {
  return oldest ? text("oldestWaits", { time: duration(oldest.age_seconds * 1000) }) : text(at ? "noneWaits" : "oldestUnknown");
}

function acceptanceTile(acceptance) {
  const { measured_at: at, count = 0, p50_ms: p50, p90_ms: p90, p95_ms: p95 } = acceptance ?? {};
  const measured = text(count ? "percentiles" : "noneMeasured", { p90: shortDuration(p90), p95: shortDuration(p95), n: number(count) });
  const isOld = serverNow() - Date.parse(at) > OUTDATED;
  const note = isOld ? `${text("asOf", { time: timeOfDay(Date.parse(at)) })} ${measured}` : measured;
  // In the large font, the time fits on a phone only if the line can break before the second unit.
  const median = count ? shortDuration(p50).replace(/\s(?=\d)/, " ") : "–";
  return tile(text("medianTime"), median, acceptance ? note : text("notKnownYet"));
}

const repaired = ({ mirrored, gone, reconciled }) => mirrored + gone + reconciled;

function sweepTile(sweep) {
  if (!sweep) {
    return tile(text("lastSweep"), "–", text("noSweep"));
  }
  const n = repaired(sweep);
  const note = sweep.ok ? text(n ? "sweepNote" : "sweepNoteNone", { due: number(sweep.due), n: number(n) }) : text("failed");
  return tile(text("lastSweep"), html`<time datetime=${sweep.at}>${timeOfDay(Date.parse(sweep.at)).slice(0, 5)}</time>`, note);
}

// Panels

function hoursPanel(hours) {
  const isEmpty = hours.every(({ total }) => !total);
  return html`<section class="panel" aria-labelledby="hours">
    <header><h2 id="hours">${text("perHour")}</h2>${!isEmpty && legend()}</header>
    <div class="in stack">
      ${isEmpty ? html`<p class="muted">${text("noReservations")}</p>` : html`${charts(hours)}<p class="muted small">${text("perHourNote")}</p>`}
      ${hourTable(hours)}
    </div>
  </section>`;
}

/** A list of names with bars. Each entry is {key, name, count, mark, tone}. */
function shares(entries) {
  const maximum = Math.max(1, ...entries.map(({ count }) => count));
  return html`<ul class="shares">
    ${entries.map(
      ({ key, name, count, mark, tone }) => html`<li key=${key}>
        <span class="name">${mark}<span>${name}</span></span>
        <svg class="share" aria-hidden="true"><rect class="track" width="100%" height="10" rx="5" />${count > 0 && html`<rect class=${tone} width=${`${(100 * count) / maximum}%`} height="10" rx="5" />`}</svg>
        <strong class="right">${number(count)}</strong>
      </li>`,
    )}
  </ul>`;
}

function workersPanel({ workers_by_activity: activities, taskrouter_updated_at: at, taskrouter_error: error }) {
  const available = new Set(state.activities.filter((each) => each.available).map(({ sid }) => sid));
  const entries = activities.map(({ activity_sid: key, activity_name: name, workers: count }) => {
    const isAvailable = available.has(key);
    // Show no marks if no Activity is known to be available. The list of Activities may have failed to load.
    const mark = available.size > 0 && html`<span class="dot" data-on=${isAvailable ? "yes" : null} />`;
    return { key, name, count, mark, tone: isAvailable ? "yes" : "no" };
  });
  const all = entries.reduce((total, { count }) => total + count, 0);
  return html`<section class="panel" aria-labelledby="workers">
    <header><h2 id="workers">${text("workers")}</h2>${at && html`<span class="muted small num">${text("workerCount", { n: number(all) })}</span>`}</header>
    ${shares(entries)}
    ${error ? html`<p class="in wrong">${icon("last")}<span>${at ? text("taskRouterFailed", { time: timeOfDay(Date.parse(at)), error }) : text("taskRouterUnknown", { error })}</span></p>` : !at && html`<p class="in muted">${text("notKnownYet")}</p>`}
  </section>`;
}

/** Open offers by TaskQueue, from the Inbox, and the Task that has waited longest. */
function queuesPanel(oldest) {
  const counts = new Map();
  const rows = openRows(state.inbox);
  rows.forEach(({ reservation: { task_queue_name: name } }) => counts.set(name, (counts.get(name) ?? 0) + 1));
  const sorted = [...counts].sort(([, one], [, other]) => other - one);
  const entries = sorted.slice(0, MAX_QUEUES);
  const n = `${number(rows.length)}${state.inbox.isPendingTruncated ? "+" : ""}`;
  return html`<section class="panel" aria-labelledby="queues">
    <header><h2 id="queues">${text("openByQueue")}</h2><a href="#offers">${text("offerCount", { n })}</a></header>
    ${entries.length ? shares(entries.map(([name, count]) => ({ key: name, name: name ?? text("unknown"), count, tone: "open" }))) : html`<p class="in muted">${text("noOffers")}</p>`}
    ${sorted.length > MAX_QUEUES && html`<p class="in muted small">${text("andMore", { n: number(sorted.length - MAX_QUEUES) })}</p>`}
    ${oldest && html`<p class="in oldest"><span>${text("oldestTask")} <span class="mono">${shortSid(oldest.task_sid)}</span></span> <${Copy} key=${oldest.task_sid} label=${text("taskSid")} value=${oldest.task_sid} /></p>`}
  </section>`;
}

function sweepsPanel(sweeps, isFull, showAll) {
  const listed = isFull ? sweeps : sweeps.slice(0, INITIAL_SWEEPS);
  const columns = ["checked", "repaired", "took"];
  return html`<section class="panel" aria-labelledby="sweeps">
    <header><h2 id="sweeps">${text("lastSweeps")}</h2>${sweeps.length > 0 && sweepState(sweeps[0])}</header>
    ${!sweeps.length && html`<p class="in muted">${text("noSweep")}</p>`}
    ${
      sweeps.length > 0 &&
      html`<table aria-labelledby="sweeps">
        <thead>
          <tr><th scope="col">${text("at")}</th>${columns.map((name) => html`<th key=${name} scope="col" class="right">${text(name)}</th>`)}</tr>
        </thead>
        <tbody>${listed.map(sweepRow)}</tbody>
      </table>`
    }
    ${listed.length < sweeps.length && html`<p class="in"><button type="button" class="quiet more" onClick=${showAll}>${text("allSweeps", { n: sweeps.length })}</button></p>`}
  </section>`;
}

function sweepState({ at, ok }) {
  if (!ok) {
    return pill("red", "last", text("failed"));
  }
  const isLate = serverNow() - Date.parse(at) > OUTDATED;
  return isLate ? pill("amber", "soon", text("late")) : pill("green", "check", text("onTime"));
}

/** The keys of the texts that describe a sweep's counts, by count. */
const DETAILS = {
  mirrored: "sweepMirrored",
  gone: "sweepGone",
  reconciled: "sweepReconciled",
  rejected: "sweepRejected",
  completed: "sweepCompleted",
  failed: "sweepFailed",
  left: "sweepLeft",
  unreconciled: "sweepUnreconciled",
};

/** A row for a sweep, and a second row if the sweep has nonzero counts or errors, failed, or only monitored. */
function sweepRow(sweep) {
  const nonzero = Object.keys(DETAILS).filter((name) => sweep[name]);
  const details = nonzero.map((name) => text(DETAILS[name], { n: number(sweep[name]) })).join(", ");
  const errors = Object.entries(sweep.errors ?? {}).map(([code, n]) => text("sweepError", { code, n: number(n) })).join(", ");
  const n = repaired(sweep);
  const isBad = errors || !sweep.ok;
  return html`
    <tr key=${sweep.at} tabindex="-1">
      <th scope="row"><time datetime=${sweep.at}>${dateAndTime(Date.parse(sweep.at))}</time></th>
      <td class="right">${number(sweep.due)}</td>
      <td class="right">${n ? html`<strong>${number(n)}</strong>` : "0"}</td>
      <td class="right">${shortDuration(sweep.duration_ms)}</td>
    </tr>
    ${
      (details || isBad || sweep.monitor_only) &&
      html`<tr key=${`${sweep.at} details`} class="details">
        <td colspan="4">
          ${isBad && html`<p class="wrong">${icon("last")}<span>${errors || text("failed")}</span></p>`}
          ${sweep.monitor_only && html`<span class="pill">${text("monitorOnly")}</span> `}${details}
        </td>
      </tr>`
    }
  `;
}
