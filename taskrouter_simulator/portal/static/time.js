// The simulator's time, which can stand still or jump, and how times are written.

let last = 0;
let at = 0;
let frozen = true;

/** Takes over the time that an answer came with (seconds since the epoch). */
export function setTime(seconds) {
  last = seconds;
  at = performance.now();
}

export function setFrozen(isFrozen) {
  frozen = isFrozen;
}

/** Seconds since the epoch, by the simulator's clock. */
export function now() {
  return frozen ? last : last + (performance.now() - at) / 1000;
}

/** 75 as "1 min 15 s". */
export function duration(seconds) {
  const whole = Math.max(0, Math.floor(seconds));
  const [days, hours] = [Math.floor(whole / 86400), Math.floor(whole / 3600) % 24];
  const [minutes, rest] = [Math.floor(whole / 60) % 60, whole % 60];
  if (days) return `${days} d ${hours} h`;
  if (hours) return `${hours} h ${minutes} min`;
  return minutes ? `${minutes} min ${rest} s` : `${rest} s`;
}

/** How many seconds it is to a moment; a begun one counts, 60.0000002 is 60. */
export const until = (moment) => Math.max(0, Math.ceil(moment - now() - 0.001));

/** 75 as "1:15". */
export function countdown(whole) {
  const [hours, minutes] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60];
  const rest = String(whole % 60).padStart(2, "0");
  return hours ? `${hours}:${String(minutes).padStart(2, "0")}:${rest}` : `${minutes}:${rest}`;
}

const two = (number) => String(number).padStart(2, "0");

/** The time of day, where the reader is. */
export function clock(seconds) {
  const date = new Date(seconds * 1000);
  return `${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}`;
}

/** Day and time of day, where the reader is. */
export function moment(seconds) {
  const date = new Date(seconds * 1000);
  const day = `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())}`;
  return `${day} ${clock(seconds)}`;
}
