// The header: sections, Activity, connection and the user's settings.

import { switchActivity } from "./activity.js";
import { allowNotifications, ring } from "./alerts.js";
import { duration } from "./format.js";
import { openRows } from "./inbox.js";
import { chooseLanguage, LANGUAGES, preferences, setPreference } from "./preferences.js";
import { areActivitiesMissing, changed, isAvailable, section, state } from "./state.js";
import { showLanguage, text } from "./texts.js";
import { html, icon, logo, Ticking } from "./view.js";
import { isSupervisor } from "./view_offer.js";

export function header({ signOut }) {
  const count = openRows(state.inbox).length;
  return html`<header class="top">
    <a class="brand" href="#offers">${logo()}<span class="name">${text("console")}</span><span class="vh">, ${text("inbox")}</span></a>
    ${state.inbox.worker ? activity(state.inbox.worker) : html`<span />`} ${connectionStatus()} ${menu(signOut)}
    <nav class="sections" aria-label=${text("sections")}>
      <ul>
        <li>
          <a href="#offers" aria-current=${section() === "inbox" ? "page" : null}>
            ${text("inbox")}${count > 0 && html`<span class="count"><span class="vh">${text("openCount")}</span>${count}</span>`}
          </a>
        </li>
        ${sectionLink("history")} ${isSupervisor() && ["overview", "callbacks"].map(sectionLink)}
      </ul>
    </nav>
  </header>`;
}

const sectionLink = (name) => html`<li><a href=${`#${name}`} aria-current=${section() === name ? "page" : null}>${text(name)}</a></li>`;

function activity(worker) {
  const { activity_sid: sid, activity_name: name } = worker;
  const { activities, wantedActivity } = state;
  const isListed = activities.some((each) => each.sid === sid);
  const choose = ({ target }) => {
    switchActivity(target.value);
    if (preferences.shortcuts) {
      // Leave the list. While it has focus, keys choose an Activity instead of accepting or rejecting an offer.
      target.blur();
    }
  };
  const dot = wantedActivity ? "wait" : isAvailable(worker) && "yes";
  return html`<label class="activity">
    <span class="vh">${text("activity")}</span>
    <span class="dot" data-on=${dot || null} />
    <select name="activity" onKeyDown=${openList} value=${sid ?? ""} aria-busy=${wantedActivity ? "true" : null} disabled=${!activities.length} title=${areActivitiesMissing() ? text("activitiesMissing") : null} onChange=${choose}>
      ${!isListed && html`<option value=${sid ?? ""}>${name ?? text("unknown")}</option>`}
      ${activities.map((each) => html`<option key=${each.sid} value=${each.sid}>${each.name}</option>`)}
    </select>
  </label>`;
}

/** Open a closed list if a key would otherwise choose a different value immediately. */
function openList(event) {
  const isChoosing = /^(.|Arrow.*|Home|End|Page.*)$/.test(event.key);
  if (isChoosing && event.target.showPicker && !event.ctrlKey && !event.altKey && !event.metaKey) {
    event.preventDefault();
    event.target.showPicker();
  }
}

const DOTS = { connecting: "wait", live: "yes", reconnecting: "wait", delayed: "wait", down: "no" };

function connectionStatus() {
  const { state: shown } = state.connection;
  const age = () => text("updated", { time: duration(Date.now() - state.updatedAt) });
  return html`<p class="live">
    <span class="dot" data-on=${DOTS[shown]} />
    <span role="status">${text(shown)}</span>
    ${shown === "live" && state.updatedAt > 0 && html`<span class="since"><${Ticking} value=${age} /></span>`}
  </p>`;
}

function menu(signOut) {
  const { role, identity } = state.session.claims;
  const name = state.inbox.worker?.name ?? (identity || text(role));
  const initials = name.slice(0, 2).toUpperCase();
  return html`<details class="me">
    <summary>
      <span class="face" aria-hidden="true">${initials}</span><span class="who">${name}</span><span class="vh">: ${text("settings")}</span>${icon("down")}
    </summary>
    <div class="menu">
      <p class="line"><span class="muted">${identity || name}</span><span class="pill">${text(role)}</span></p>
      <hr />
      ${toggle("sound", text("sound"), (isOn) => isOn && ring())}
      ${toggle("notifications", text("notifications"), (isOn) => isOn && askForNotifications())}
      ${globalThis.Notification?.permission === "denied" && html`<p class="line hint">${text("notificationsBlocked")}</p>`}
      ${toggle("shortcuts", text("shortcutsSetting"))}
      <label>
        ${text("language")}
        <select value=${preferences.language} onChange=${({ target }) => switchLanguage(target.value)}>
          ${Object.entries(LANGUAGES).map(([code, label]) => html`<option key=${code} value=${code} lang=${code}>${label}</option>`)}
        </select>
      </label>
      <hr />
      <button type="button" onClick=${signOut}>${text("signOut")}</button>
    </div>
  </details>`;
}

async function switchLanguage(language) {
  chooseLanguage(language);
  await showLanguage();
  changed();
}

function change(name, value) {
  setPreference(name, value);
  changed();
}

function toggle(name, label, apply = () => {}) {
  const onChange = ({ target }) => {
    change(name, target.checked);
    apply(target.checked);
  };
  return html`<label>${label} <input type="checkbox" checked=${preferences[name]} onChange=${onChange} /></label>`;
}

async function askForNotifications() {
  if (!(await allowNotifications())) {
    change("notifications", false);
  }
}

/** From now on, close the settings when the user clicks elsewhere or presses Escape. */
export function closeMenuOutside() {
  const close = (event) => {
    const menuElement = document.querySelector(".me[open]");
    const isEscape = event.key === "Escape";
    if (menuElement && (isEscape || (event.type === "pointerdown" && !menuElement.contains(event.target)))) {
      menuElement.open = false;
      if (isEscape) {
        menuElement.querySelector("summary").focus();
      }
    }
  };
  document.addEventListener("pointerdown", close);
  document.addEventListener("keydown", close);
}
