// Alerts about new offers and the end of the session: tab title, icon, sound, notifications and screen reader messages.

import { duration, taskTitle, timeOfDay } from "./format.js";
import { isAnyTabVisible } from "./poll.js";
import { preferences, setPreference } from "./preferences.js";
import { drafts } from "./session.js";
import { changed, section, select, state } from "./state.js";
import { text } from "./texts.js";
import { openRows } from "./inbox.js";

const iconLink = document.querySelector("#icon");
const icons = { quiet: iconLink.href, offers: iconLink.href.replace("icon.svg", "icon-offers.svg") };
// Cache the icon now: after the next deployment, the server no longer has this version of the file.
new Image().src = icons.offers;
/** Time in ms for which a tab keeps the lock after ringing, because other tabs get the same offer within this time and must not ring again. */
const SOUND_LOCK_TIME = 5000;
let audioContext = null;

/** Show the number of open offers in the tab's title. The tab's icon shows whether there are any. */
export function showCount() {
  const open = new Set(state.session ? openRows(state.inbox).map(({ sid }) => sid) : []);
  const count = open.size;
  closeNotifications(open);
  const page = text(state.session ? section() : "signIn");
  const title = `${count ? `(${count}) ` : ""}${page}, ${text("console")}`;
  if (document.title !== title) {
    document.title = title;
  }
  const href = icons[count ? "offers" : "quiet"];
  if (iconLink.href !== href) {
    iconLink.href = href;
  }
}

/** Make screen readers read a message aloud. Messages announced within 300 ms of the first one are combined. */
export function announce(message) {
  const region = document.querySelector("#announcements");
  // A repeated message must be changed slightly, because screen readers announce only changes.
  const distinct = region.textContent === message ? `${message}\u00a0` : message;
  if (region.dataset.fresh) {
    region.textContent += ` ${distinct}`;
    return;
  }
  region.dataset.fresh = "yes";
  region.textContent = distinct;
  setTimeout(() => delete region.dataset.fresh, 300);
}

/**
 * Alert the user to new offers.
 *
 * @param isLeader - whether this tab polls for all of the user's tabs. Only the polling tab shows a notification.
 */
export async function alertTo(rows, now, isLeader) {
  if (!rows.length) {
    return;
  }
  const titles = rows.map(({ reservation }) => taskTitle(reservation, state.inbox.titleAttributes));
  const time = duration(rows[0].deadline - now);
  announce(
    rows.length === 1
      ? text("announceOffer", { title: titles[0], time })
      : text("announceOffers", { n: rows.length }),
  );
  if (preferences.sound) {
    ringOnce(rows[0].sid);
  }
  if (isLeader && preferences.notifications && !(await isAnyTabVisible(state.inbox.owner))) {
    notify(rows, titles);
  }
}

/** Alert the user to the end of the session. */
export async function alertToExpiry(at) {
  const title = text("expired", { time: timeOfDay(at) });
  announce(title);
  if (preferences.notifications && !(await isAnyTabVisible(drafts.owner))) {
    notify([], [text("expiredText")], title);
  }
}

/** Return whether the browser blocks sounds, as it does until the user clicks or presses a key on the page. */
export const isSoundBlocked = () => navigator.userActivation?.hasBeenActive === false;

/** Ring in only one of the tabs that may play sounds. All tabs of the user get the same offers. */
function ringOnce(sid) {
  if (isSoundBlocked()) {
    return;
  }
  const hold = async (lock) => {
    if (lock) {
      await ring();
      await new Promise((resolve) => setTimeout(resolve, SOUND_LOCK_TIME));
    }
  };
  if (navigator.locks) {
    navigator.locks.request(`console sound ${sid}`, { ifAvailable: true }, hold).catch(({ name }) => name === "SecurityError" && ring());
  } else {
    ring();
  }
}

/** Play two short tones. */
export async function ring() {
  audioContext ??= new AudioContext();
  await audioContext.resume();
  for (const [delay, frequency] of [
    [0, 660],
    [0.16, 880],
  ]) {
    const start = audioContext.currentTime + delay;
    const tone = new OscillatorNode(audioContext, { frequency });
    const volume = new GainNode(audioContext, { gain: 0 });
    volume.gain.linearRampToValueAtTime(0.2, start + 0.02);
    volume.gain.linearRampToValueAtTime(0, start + 0.15);
    tone.connect(volume).connect(audioContext.destination);
    tone.start(start);
    tone.stop(start + 0.15);
  }
}

/** The notifications that this tab has shown, and the SIDs of their offers. */
const notifications = new Map();

/** Close the notifications whose offers have all ended. */
function closeNotifications(open) {
  for (const [notification, sids] of notifications) {
    if (!sids.some((sid) => open.has(sid))) {
      notification.close();
      notifications.delete(notification);
    }
  }
}

/** Show a notification about offers or, if there are none, about the session. A later notification with the same tag replaces it. */
function notify(rows, lines, title = text("notificationTitle")) {
  if (globalThis.Notification?.permission !== "granted") {
    return;
  }
  const sid = rows[0]?.sid;
  let notification;
  try {
    notification = new Notification(title, {
      body: lines.join("\n"),
      tag: sid ?? "expired",
      icon: icons.offers,
    });
  } catch {
    // Android does not let pages show notifications, although it reports the permission as granted.
    setPreference("notifications", false);
    changed();
    return;
  }
  if (sid) {
    notifications.set(notification, rows.map((row) => row.sid));
  }
  notification.addEventListener("click", () => {
    window.focus();
    if (sid) {
      location.hash = "offers";
      select(sid);
      changed();
    }
    notification.close();
  });
}

/** Ask for permission to show notifications; return whether it is granted. */
export async function allowNotifications() {
  return (await globalThis.Notification?.requestPermission()) === "granted";
}
