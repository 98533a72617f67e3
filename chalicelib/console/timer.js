// Timers that do not slow down while the page is hidden.

const url = new URL("timer_worker.js", import.meta.url).href;
// The Content-Security-Policy allows only this Trusted Types policy, which allows only one script.
const policy = globalThis.trustedTypes?.createPolicy("agent-console", {
  createScriptURL: () => url,
});
const callbacks = new Map();
const worker = startWorker();
let isWorkerLost = !worker;
let lastId = 0;

/** Start the web worker, and return it. Return null if the browser refuses to start it: slow timers are better than none. */
function startWorker() {
  try {
    const started = new Worker(policy ? policy.createScriptURL("") : url);
    started.addEventListener("error", loseWorker);
    started.addEventListener("message", ({ data: id }) => fire(id));
    return started;
  } catch {
    return null;
  }
}

/** Fall back to slow timers, because the web worker's script could not be loaded. */
function loseWorker() {
  isWorkerLost = true;
  callbacks.forEach((callback, id) => setTimeout(fire, 1000, id));
}

function fire(id) {
  const callback = callbacks.get(id);
  callbacks.delete(id);
  callback?.();
}

/** Call a function once after a delay; return a function that cancels the call. */
export function after(milliseconds, callback) {
  lastId += 1;
  const id = lastId;
  callbacks.set(id, callback);
  if (isWorkerLost) {
    setTimeout(fire, milliseconds, id);
  } else {
    worker.postMessage({ id, milliseconds });
  }
  return () => {
    callbacks.delete(id);
    worker?.postMessage({ id, milliseconds: null });
  };
}
