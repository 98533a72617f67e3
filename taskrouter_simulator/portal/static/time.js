// The simulator's time, which can be frozen or advanced, and functions that format times.

let receivedTime = 0; // the simulator's time in the last response
let receivedAtMs = 0; // when the browser received that response, in milliseconds
let frozen = true;

/** Sets the simulator's time from a response (seconds since the epoch). */
export function setTime(seconds) {
  receivedTime = seconds;
  receivedAtMs = performance.now();
}

export function setFrozen(isFrozen) {
  frozen = isFrozen;
}

/** Returns the simulator's time in seconds since the epoch. */
export function now() {
  return frozen ? receivedTime : receivedTime + (performance.now() - receivedAtMs) / 1000;
}

/** Formats 75 as "1 min 15 s". */
export function formatDuration(seconds) {
  const whole = Math.max(0, Math.floor(seconds));
  const [days, hours] = [Math.floor(whole / 86400), Math.floor(whole / 3600) % 24];
  const [minutes, remainder] = [Math.floor(whole / 60) % 60, whole % 60];
  if (days) return `${days} d ${hours} h`;
  if (hours) return `${hours} h ${minutes} min`;
  return minutes ? `${minutes} min ${remainder} s` : `${remainder} s`;
}

/** Returns the seconds until a time, rounded up, ignoring rounding errors (60.0000002 is 60). */
export const secondsUntil = (moment) => Math.max(0, Math.ceil(moment - now() - 0.001));

/** Formats 75 as "1:15". */
export function formatCountdown(seconds) {
  const [hours, minutes] = [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60];
  const remainder = String(seconds % 60).padStart(2, "0");
  return hours ? `${hours}:${String(minutes).padStart(2, "0")}:${remainder}` : `${minutes}:${remainder}`;
}

const twoDigits = (number) => String(number).padStart(2, "0");

/** Formats the local time of day. */
export function formatTime(seconds) {
  const date = new Date(seconds * 1000);
  return `${twoDigits(date.getHours())}:${twoDigits(date.getMinutes())}:${twoDigits(date.getSeconds())}`;
}

/** Formats the local date and time. */
export function formatDateTime(seconds) {
  const date = new Date(seconds * 1000);
  const day = `${date.getFullYear()}-${twoDigits(date.getMonth() + 1)}-${twoDigits(date.getDate())}`;
  return `${day} ${formatTime(seconds)}`;
}
