// Creating elements. Text is inserted as text, never as markup: names and labels are untrusted.

export function element(name, className = "", ...children) {
  const made = document.createElement(name);
  if (className) made.className = className;
  made.append(...children);
  return made;
}

// Text whose direction must not affect its surroundings.
export const isolated = (text) => element("bdi", "", text);

export const percent = (share) => `${(100 * share).toFixed(1)}%`;

export const count = (number, noun) => `${number.toLocaleString("en")} ${noun}${number === 1 ? "" : "s"}`;

// Formats a short duration with a suitable precision.
export function seconds(time_s) {
  if (time_s < 1) return `${time_s.toFixed(2)} s`;
  return time_s < 60 ? `${time_s.toFixed(1)} s` : `${Math.floor(time_s / 60)} min ${Math.floor(time_s % 60)} s`;
}

export function bytes(number) {
  if (number >= 1e9) return `${(number / 1e9).toFixed(1)} GB`;
  if (number >= 1e6) return `${(number / 1e6).toFixed(1)} MB`;
  return `${Math.ceil(number / 1e3)} kB`;
}

// Presentation attributes, not styles: the content security policy forbids inline styles.
export function bar(share) {
  const space = "http://www.w3.org/2000/svg";
  const drawing = document.createElementNS(space, "svg");
  drawing.setAttribute("class", "share");
  drawing.setAttribute("aria-hidden", "true");
  const filled = document.createElementNS(space, "rect");
  filled.setAttribute("height", "100%");
  filled.setAttribute("width", percent(share));
  drawing.append(filled);
  return drawing;
}

export const csrf = () => document.querySelector('meta[name="csrf-token"]')?.content ?? "";

// Announces texts to screen readers: at a bounded rate, and always the latest one.
export class Announcer {
  #region;
  #text = "";
  #timer = 0;

  constructor(region, everyMs = 5000) {
    this.#region = region;
    this.everyMs = everyMs;
  }

  say(text, atOnce = false) {
    if (text === this.#text) return;
    this.#text = text;
    if (atOnce) {
      clearTimeout(this.#timer);
      this.#timer = 0;
      this.#region.textContent = text;
    } else {
      this.#timer ||= setTimeout(() => {
        this.#timer = 0;
        this.#region.textContent = this.#text;
      }, this.everyMs);
    }
  }
}
