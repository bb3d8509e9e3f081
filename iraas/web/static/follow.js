// Following a job: one event stream, which comes back after whatever broke it off, save the end of
// the session.

import { renew } from "./session.js";

const LONGEST_PAUSE_MS = 30_000;

// `url()` says where to go on: the stream is asked for what is not seen yet. `on` has `outcomes`,
// `progress`, `end` and `connection` (told true and false).
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
    source.addEventListener("error", () => this.#broken(source));
  }

  stop() {
    clearTimeout(this.#timer);
    this.#source?.close();
    this.#source = null;
  }

  // A browser comes back by itself when a connection breaks, but not when it is answered with an
  // error, such as 429 or 503.
  async #broken(source) {
    if (source !== this.#source) return;
    this.#on.connection(false);
    if (source.readyState !== EventSource.CLOSED) return;
    if ((await renew()) === false || source !== this.#source) return;
    this.#timer = setTimeout(() => this.start(), this.#pauseMs);
    this.#pauseMs = Math.min(2 * this.#pauseMs, LONGEST_PAUSE_MS);
  }
}

// Numbers as ranges, such as 0-99,105; what gets too long for an address loses its end.
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
