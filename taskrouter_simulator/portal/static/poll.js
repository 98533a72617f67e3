// Asks for the overview about once a second, as long as somebody can see the page.

const EVERY = 1000;
const RETRY = 2000;
const PATIENCE = 10_000;

export class Poll {
  #timer = 0;
  #busy = false;
  #again = false;
  #etag = null;
  #path = "/simulator/state";

  /**
   * @param onState gets an overview that differs from the last
   * @param onTime gets the simulator's time at every answer (seconds since the epoch)
   * @param onReach gets whether the simulator answered
   */
  constructor({ onState, onTime, onReach }) {
    this.onState = onState;
    this.onTime = onTime;
    this.onReach = onReach;
    document.addEventListener("visibilitychange", () => this.#turn());
  }

  /** Looks now, and goes on from there. */
  async now() {
    if (this.#busy) {
      this.#again = true;
      return;
    }
    clearTimeout(this.#timer);
    this.#busy = true;
    const [reached, state] = await this.#ask();
    this.#busy = false;
    if (!document.hidden) {
      const wait = reached ? EVERY : RETRY;
      this.#timer = setTimeout(() => this.now(), this.#again ? 0 : wait);
      this.#again = false;
    }
    if (state) this.onState(state);
    this.onReach(reached);
  }

  /** Looks now, and once more when what was asked for has gone through. */
  soon() {
    this.now();
    setTimeout(() => this.now(), 300);
  }

  /** From now on this Workspace. */
  choose(workspace) {
    this.#path = `/simulator/state?workspace=${encodeURIComponent(workspace)}`;
    this.#etag = null;
    this.now();
  }

  async #ask() {
    const path = this.#path;
    const headers = this.#etag ? { "If-None-Match": this.#etag } : {};
    try {
      const answer = await fetch(path, { headers, signal: AbortSignal.timeout(PATIENCE) });
      if (!answer.ok && answer.status !== 304) return [false, null];
      const state = answer.status === 304 ? null : await answer.json();
      if (path !== this.#path) return [true, null];
      this.onTime(Number(answer.headers.get("X-Simulator-Time")));
      this.#etag = answer.headers.get("ETag");
      return [true, state];
    } catch {
      return [false, null];
    }
  }

  #turn() {
    if (document.hidden) clearTimeout(this.#timer);
    else this.now();
  }
}
