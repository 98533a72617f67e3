// Callbacks: the log of TaskRouter's requests, for supervisors.

import { filterProblems, isSearching, loadCallbacks, logFilter, ROUTES, setLogFilter, stopSearch } from "./callbacks.js";
import { dateAndTime, number, shortSid, timeOfDay } from "./format.js";
import { PERIODS } from "./history.js";
import { drafts, storeDraft } from "./session.js";
import { changed, state } from "./state.js";
import { text } from "./texts.js";
import { Component } from "./vendor.js";
import { html, icon, Page, pill } from "./view.js";
import { failed, moreButton, PERIOD_TEXTS } from "./view_history.js";
import { banner, blankRows } from "./view_inbox.js";
import { causeText, signatureActions, signaturePill } from "./view_inspect.js";

/** The page. It searches when the user opens it or the filter in its address changes, but keeps its results when the user returns from Inspect. */
export class CallbacksPage extends Page {
  componentDidMount() {
    this.searched = drafts.logFilter;
    if (!state.isReturning || !state.log.rows.length || state.log.address !== drafts.logFilter) {
      scrollTo(0, 0);
      this.search();
    }
  }

  componentDidUpdate(...args) {
    super.componentDidUpdate(...args);
    if (this.searched !== drafts.logFilter) {
      this.search();
    }
  }

  componentWillUnmount() {
    stopSearch();
  }

  search() {
    this.searched = drafts.logFilter;
    loadCallbacks();
  }

  render({ pollNow }) {
    const { rows, loading, loadedAt, cursor } = state.log;
    return html`<main class="page">
      ${banner(pollNow)}
      <section class="stack" aria-labelledby="callbacks" aria-busy=${loading ? "true" : null}>
        <div class="bar">
          <h1 id="callbacks" tabindex="-1">${text("callbacks")}</h1>
          <div class="tools">
            <p class="muted small num" role="status">${rows.length > 0 && loading !== "list" && text("historySummary", { n: cursor ? `${rows.length}+` : rows.length, time: timeOfDay(loadedAt) })}</p>
            <button type="button" class="quiet" aria-disabled=${loading ? "true" : null} onClick=${() => loading || loadCallbacks()}>${text("refresh")}</button>
          </div>
        </div>
        <${LogFilter} address=${drafts.logFilter} />
        ${rows.length > 0 && table(rows)}
        ${afterRows(rows)}
      </section>
    </main>`;
  }
}

/** The filter's form. Typed text takes effect when the user presses Enter or clicks the button. A choice takes effect immediately. In both cases, the address changes. */
class LogFilter extends Component {
  state = drafts.logTyped?.address === drafts.logFilter ? drafts.logTyped : { typed: logFilter() };

  static getDerivedStateFromProps({ address }, { address: previous }) {
    return address === previous ? null : { address, typed: logFilter() };
  }

  keepInput = ({ target }) => {
    const typed = { ...this.state.typed, [target.name]: target.value };
    this.setState({ typed });
    storeDraft("logTyped", { address: drafts.logFilter, typed });
  };

  apply = (event) => {
    event.preventDefault();
    storeDraft("logTyped");
    const { sid, status, until, ...others } = Object.fromEntries(new FormData(event.target));
    // The value of an incomplete time is empty.
    const isIncomplete = event.target.elements.until.validity.badInput;
    setLogFilter({ ...others, sid: sid.trim(), status: status.trim(), until: isIncomplete ? "?" : until });
  };

  choose = (event) => {
    this.keepInput(event);
    event.target.form.requestSubmit();
  };

  render(_, { typed }) {
    const problems = filterProblems(logFilter());
    const input = (name, label, more) => html`<div class="field">
      <label for=${`log-${name}`}>${label}</label>
      <input id=${`log-${name}`} name=${name} autocomplete="off" spellcheck="false" value=${typed[name]} onInput=${this.keepInput} aria-invalid=${problems[name] ? "true" : null} aria-describedby=${problems[name] ? `wrong-${name}` : null} ...${more} />
      ${problems[name] && html`<p id=${`wrong-${name}`} class="wrong" role="alert">${icon("info")}${text(problems[name])}</p>`}
    </div>`;
    const select = (name, label, options) => html`<div class="field">
      <label for=${`log-${name}`}>${label}</label>
      <select id=${`log-${name}`} name=${name} value=${typed[name]} onChange=${this.choose}>
        ${options.map(([each, label]) => html`<option key=${each} value=${each}>${label}</option>`)}
      </select>
    </div>`;
    return html`<form class="log-filters" role="search" aria-label=${text("callbacks")} novalidate onSubmit=${this.apply}>
      ${input("sid", text("sidFilter"), { type: "search", class: "mono" })}
      ${select("route", text("route"), [["", text("allRoutes")], ...Object.entries(ROUTES).map(([each, key]) => [each, text(key)])])}
      ${input("status", text("httpStatus"), { inputmode: "numeric", maxlength: 5, placeholder: text("allStatuses") })}
      ${select("period", text("period"), Object.keys(PERIODS).map((name) => [name, text(PERIOD_TEXTS[name])]))}
      ${input("until", text("until"), { type: "datetime-local", ...(problems.until && { value: "" }) })}
      <p class="acts"><button type="submit">${text("search")}</button><a class="button quiet" href="#/callbacks">${text("clearFilter")}</a></p>
    </form>`;
  }
}

const table = (rows) => html`<div class="panel">
  <table class="log" role="table" aria-labelledby="callbacks">
    <thead role="rowgroup"><tr role="row">${["at", "callback", "signature", "answer", "took"].map((key) => html`<th role="columnheader" scope="col" class=${key === "took" ? "right" : null}>${text(key)}</th>`)}<th role="columnheader" scope="col"><span class="vh">${text("details")}</span></th></tr></thead>
    <tbody role="rowgroup">${rows.map(logRow)}</tbody>
  </table>
</div>`;

const nameOf = ({ event_type: type, route }) => type ?? (ROUTES[route] ? text(ROUTES[route]) : route);

function logRow(callback, index) {
  const { at, status, signature, reservation_sid: sid, task_sid, worker_sid, duration_ms: time } = callback;
  const isBad = status >= 400 || signature === "invalid" || callback.error;
  const isOpen = state.log.opened?.index === index;
  const name = nameOf(callback);
  const toggle = () => {
    state.log.opened = isOpen ? null : { index, sid };
    changed();
  };
  const shown = sid ?? task_sid ?? worker_sid;
  return html`<tr key=${index} role="row" data-bad=${isBad ? "" : null}>
      <td role="cell"><time datetime=${at}>${dateAndTime(Date.parse(at))}</time></td>
      <th role="rowheader" scope="row">${name}${shown && html`<span class="sid">${sid ? html`<a href=${`#/reservations/${sid}`}>${shortSid(sid)}</a>` : shortSid(shown)}</span>`}</th>
      <td role="cell">${signaturePill(signature && signature === "valid")}</td>
      <td role="cell">${pill(status < 400 ? "green" : "red", status < 400 ? "check" : "cross", status)} ${callback.answer && html`<code>${callback.answer}</code>`}</td>
      <td role="cell" class="right">${number(time, { maximumFractionDigits: 1 })}\u00A0ms</td>
      <td role="cell" class="right"><button type="button" class="quiet" aria-expanded=${isOpen} aria-label=${`${text("details")}: ${name}, ${timeOfDay(at)}`} onClick=${toggle}>${icon("down")}${text("details")}</button></td>
    </tr>
    ${isOpen ? detailsRow(callback, index) : isBad && reasonRow(callback, index)}`;
}

const extraRow = (callback, index, children) => html`<tr key=${`more-${index}`} role="row" class="why" data-bad=${callback.status >= 400 || callback.signature === "invalid" || callback.error ? "" : null}><td role="cell" colspan="6">${children}</td></tr>`;

/** Return the text that explains why a callback failed, or an empty string. */
function reason({ likely_cause: cause, error, reason: why }) {
  return cause ? causeText(cause) : [error, why].filter(Boolean).join(": ");
}

function reasonRow(callback, index) {
  const explanation = reason(callback);
  return explanation && extraRow(callback, index, explanation);
}

function detailsRow(callback, index) {
  const { route, checked_url: url, likely_cause: cause, answer, rule, changed: isChanged, error, reason: why } = callback;
  const sids = { reservation: callback.reservation_sid, taskSid: callback.task_sid, worker: callback.worker_sid };
  const code = (value) => value && html`<code>${value}</code>`;
  const facts = {
    route: code(route),
    checkedUrl: code(url),
    likelyCause: cause && causeText(cause),
    error: code(error),
    reason: why,
    answer: code(answer),
    givenBy: rule && text("rule", { rule }),
    recordChanged: isChanged !== null && text(isChanged ? "yes" : "no"),
    ...Object.fromEntries(Object.entries(sids).map(([key, sid]) => [key, code(sid)])),
  };
  return extraRow(callback, index, html`
    <dl class="facts">${Object.entries(facts).map(([key, value]) => value && html`<div key=${key}><dt>${text(key)}</dt><dd>${value}</dd></div>`)}</dl>
    ${sids.reservation && route !== "/event_callback" && signatureActions(state.log.opened)}
    ${callback.signature === "invalid" && html`<p class="muted">${text("notTrusted")}</p>`}
  `);
}

/** Stop the search, and move the focus to the button that continues the search. */
function stop() {
  document.querySelector(".more")?.focus();
  stopSearch();
}

/** The area below the rows: how far the log was searched, and buttons that stop the search or find older callbacks. */
function afterRows(rows) {
  const { loading, isSlow, problem, cursor, searchedUntil, complete, searched } = state.log;
  if (loading === "list" && !searchedUntil) {
    return isSlow && blankRows();
  }
  if (!rows.length && problem) {
    return failed(problem, loadCallbacks, "callbacksFailed");
  }
  if (!searched) {
    return null;
  }
  const scope = [text("searchedUntil", { time: dateAndTime(Date.parse(searchedUntil)) }), !complete && !loading && text("stoppedEarly")].filter(Boolean).join(" ");
  return html`
    ${rows.length ? html`<p class="muted small" role="status">${scope}</p>` : html`<div class="nothing">${icon("tray")}<h2>${text(cursor ? "noCallbacksYet" : "noCallbacks")}</h2><p role="status">${scope} ${!cursor && text("noCallbacksText")}</p></div>`}
    ${isSearching(state.log) && html`<p><button type="button" onClick=${stop}>${text("stop")}</button></p>`}
    ${moreButton(state.log, loadCallbacks, "older")}
  `;
}
