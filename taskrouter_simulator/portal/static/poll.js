// Requests the overview once a second while the page is visible.

const INTERVAL_MS = 1000;
const RETRY_MS = 2000;
const TIMEOUT_MS = 10_000;

export class Poll {
  #timer = 0;
  #busy = false;
  #pollAgain = false;
  #etag = null;
  #path = "/simulator/state";

  /**
   * @param onState receives each overview that differs from the previous overview
   * @param onTime receives the simulator's time from each successful response (seconds since the epoch)
   * @param onConnection is called after each request, with true if the request succeeded
   */
  constructor({ onState, onTime, onConnection }) {
    this.onState = onState;
    this.onTime = onTime;
    this.onConnection = onConnection;
    document.addEventListener("visibilitychange", () => this.#onVisibilityChange());
  }

  /** Polls now, and then once per interval. */
  async now() {
    if (this.#busy) {
      this.#pollAgain = true;
      return;
    }
    clearTimeout(this.#timer);
    this.#busy = true;
    const [connected, state] = await this.#fetch();
    this.#busy = false;
    if (!document.hidden) {
      const delay = connected ? INTERVAL_MS : RETRY_MS;
      this.#timer = setTimeout(() => this.now(), this.#pollAgain ? 0 : delay);
      this.#pollAgain = false;
    }
    if (state) this.onState(state);
    this.onConnection(connected);
  }

  /** Polls now, and again after 300 ms, when a change has probably taken effect. */
  soon() {
    this.now();
    setTimeout(() => this.now(), 300);
  }

  /** Selects the Workspace whose overview is requested, and polls; "" selects the first Workspace. */
  choose(workspaceSid) {
    this.#path = `/simulator/state?workspace=${encodeURIComponent(workspaceSid)}`;
    this.#etag = null;
    this.now();
  }

  async #fetch() {
    const path = this.#path;
    const headers = this.#etag ? { "If-None-Match": this.#etag } : {};
    try {
      const response = await fetch(path, { headers, signal: AbortSignal.timeout(TIMEOUT_MS) });
      if (!response.ok && response.status !== 304) return [false, null];
      const state = response.status === 304 ? null : await response.json();
      if (path !== this.#path) return [true, null];
      this.onTime(Number(response.headers.get("X-Simulator-Time")));
      this.#etag = response.headers.get("ETag");
      return [true, state];
    } catch {
      return [false, null];
    }
  }

  #onVisibilityChange() {
    if (document.hidden) clearTimeout(this.#timer);
    else this.now();
  }
}
