// Alerts about new offers: title, icon, sound, notification and screen reader.

import { taskTitle } from "./format.js";
import { preferences } from "./preferences.js";
import { changed, section, select, state } from "./state.js";
import { text } from "./texts.js";
import { openRows } from "./inbox.js";

const iconLink = document.querySelector("#icon");
const icons = { quiet: iconLink.href, offers: iconLink.href.replace("icon.svg", "icon-offers.svg") };
let context = null;

/** Show the number of open offers in the tab's title and icon. */
export function showCount() {
  const count = state.session ? openRows(state.inbox).length : 0;
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

/** Let screen readers say a text. Two texts of the same moment are said together. */
export function announce(message) {
  const region = document.querySelector("#announcements");
  if (region.dataset.fresh) {
    region.textContent += ` ${message}`;
    return;
  }
  region.dataset.fresh = "yes";
  region.textContent = message;
  setTimeout(() => delete region.dataset.fresh, 300);
}

/**
 * Alert the user to new offers.
 *
 * @param isLoud - whether this tab, of all tabs, makes the sound and shows the notification.
 */
export function alertTo(rows, now, isLoud) {
  if (!rows.length) {
    return;
  }
  const titles = rows.map(({ reservation }) => taskTitle(reservation, state.inbox.titleAttributes));
  const seconds = Math.max(0, Math.round((rows[0].deadline - now) / 1000));
  announce(
    rows.length === 1
      ? text("announceOffer", { title: titles[0], n: seconds })
      : text("announceOffers", { n: rows.length }),
  );
  if (isLoud && preferences.sound) {
    ring();
  }
  if (isLoud && preferences.notifications && document.visibilityState === "hidden") {
    notify(rows[0].sid, titles);
  }
}

/** Play two short tones. Browsers allow sound only after the user has used the page. */
export function ring() {
  context ??= new AudioContext();
  context.resume().catch(() => {});
  for (const [start, frequency] of [
    [0, 660],
    [0.16, 880],
  ]) {
    const from = context.currentTime + start;
    const tone = new OscillatorNode(context, { frequency });
    const volume = new GainNode(context, { gain: 0 });
    volume.gain.linearRampToValueAtTime(0.2, from + 0.02);
    volume.gain.linearRampToValueAtTime(0, from + 0.15);
    tone.connect(volume).connect(context.destination);
    tone.start(from);
    tone.stop(from + 0.15);
  }
}

function notify(sid, titles) {
  if (globalThis.Notification?.permission !== "granted") {
    return;
  }
  const notification = new Notification(text("notificationTitle"), {
    body: titles.join("\n"),
    tag: sid,
    icon: icons.offers,
  });
  notification.addEventListener("click", () => {
    window.focus();
    location.hash = "offers";
    select(sid);
    changed();
    notification.close();
  });
}

/** Ask for permission to show notifications; return whether it is granted. */
export async function allowNotifications() {
  return (await globalThis.Notification?.requestPermission()) === "granted";
}
