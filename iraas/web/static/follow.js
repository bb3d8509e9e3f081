// Following a job by an event stream, which reconnects after every interruption except the end of the
// session.

import { renew } from "./session.js";

const LONGEST_PAUSE_MS = 30_000;

// `url()` returns the address for the outcomes not seen yet. `on` has the callbacks `outcomes`,
// `progress`, `end` and `connection` (called with true or false).
export class Follower {
  #url;
  #on;
  #source = null;
  #pauseMs = 1000;
  #timer = 0;

  constructor(url, on) {
    this.#url = url;
    this.#on = on;
  }

  start() {
    this.stop();
    const source = new EventSource(this.#url());
    this.#source = source;
    const take = (name) =>
      source.addEventListener(name, (event) => this.#on[name](JSON.parse(event.data)));
    source.addEventListener("open", () => {
      this.#pauseMs = 1000;
      this.#on.connection(true);
    });
    take("outcomes");
    take("progress");
    source.addEventListener("end", (event) => {
      this.stop();
      this.#on.end(JSON.parse(event.data));
    });
    source.addEventListener("error", () => this.#onError(source));
  }

  stop() {
    clearTimeout(this.#timer);
    this.#source?.close();
    this.#source = null;
  }

  // Browsers reconnect by themselves after a connection error, but not after an error response such as
  // 429 or 503.
  async #onError(source) {
    if (source !== this.#source) return;
    this.#on.connection(false);
    if (source.readyState !== EventSource.CLOSED) return;
    if ((await renew()) === false || source !== this.#source) return;
    this.#timer = setTimeout(() => this.start(), this.#pauseMs);
    this.#pauseMs = Math.min(2 * this.#pauseMs, LONGEST_PAUSE_MS);
  }
}

// Encodes numbers as ranges, such as 0-99,105, truncated to the length of an address.
export function ranges(numbers, most = 2000) {
  const found = [];
  for (const number of numbers) {
    const last = found.at(-1);
    if (last && last[1] === number - 1) last[1] = number;
    else found.push([number, number]);
  }
  const text = found.map(([from, to]) => (from === to ? `${from}` : `${from}-${to}`)).join(",");
  return text.length <= most ? text : text.slice(0, text.lastIndexOf(",", most));
}
