// Timers that keep their pace in a hidden page.

const url = new URL("timer_worker.js", import.meta.url).href;
// The Content-Security-Policy allows only this policy, and this policy only one script.
const policy = globalThis.trustedTypes?.createPolicy("agent-console", {
  createScriptURL: () => url,
});
const worker = new Worker(policy ? policy.createScriptURL("") : url);
const callbacks = new Map();
let isWorkerLost = false;
let lastId = 0;

// If the worker's script cannot be loaded, slow timers are better than none.
worker.addEventListener("error", () => {
  isWorkerLost = true;
  callbacks.forEach((callback, id) => setTimeout(fire, 1000, id));
});
worker.addEventListener("message", ({ data: id }) => fire(id));

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
    worker.postMessage({ id, milliseconds: null });
  };
}
