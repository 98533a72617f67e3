// Browsers slow down the timers of hidden pages, but not the timers of web workers.
const timers = new Map();

addEventListener("message", ({ data: { id, milliseconds } }) => {
  clearTimeout(timers.get(id));
  timers.delete(id);
  if (milliseconds !== null) {
    timers.set(
      id,
      setTimeout(() => {
        timers.delete(id);
        postMessage(id);
      }, milliseconds),
    );
  }
});
