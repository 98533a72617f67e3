// Browser features that may be blocked or missing: storage and channels. The page works without them.

/** Storage that lasts as long as the page. */
class Memory {
  getItem(key) {
    return this[key] ?? null;
  }

  setItem(key, value) {
    this[key] = String(value);
  }

  removeItem(key) {
    delete this[key];
  }
}

function openStorage(name) {
  try {
    // Even reading the property throws if the browser blocks all cookies.
    const storage = globalThis[name];
    storage.getItem("console.");
    return storage;
  } catch {
    return new Memory();
  }
}

export const localStorage = openStorage("localStorage");
export const sessionStorage = openStorage("sessionStorage");

/** Whether the browser blocks the storage of this page, so that a reload or a sign-in with the identity provider loses the stored data. */
export const isStorageBlocked = sessionStorage instanceof Memory;

/** Return a channel to the other tabs of this page, or null. Without a channel, each tab works on its own. */
export function openChannel(name) {
  try {
    return new BroadcastChannel(name);
  } catch {
    return null;
  }
}
