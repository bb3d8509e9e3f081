// Sending pictures into one job, some at a time and one request after another: so it is always
// known which of them have arrived, and none is sent twice when a connection breaks.

import { csrf } from "./dom.js";
import { renew, sayOver } from "./session.js";

const CHUNK_FILES = 24;
const CHUNK_BYTES = 8_000_000;
const TRIES = 8;
const LONGEST_PAUSE_S = 20;

export class UploadStopped extends Error {}
export class SessionOver extends Error {}

export class Sending {
  #on;
  #job = null;
  #arrived = 0;
  #alone = 0;
  #stop = new AbortController();

  // `on` has `progress(picture, share)`, `sent(picture)`, `refused(picture, reason)`, `pause(text)`.
  constructor(on) {
    this.#on = on;
  }

  // The job's id, once something has been sent.
  get job() {
    return this.#job;
  }

  stop() {
    this.#stop.abort();
  }

  // Go on with a job of one's own that was begun before.
  resume(job) {
    this.#job = job;
  }

  // Send what the queue gives until it is empty; it may grow meanwhile.
  async send(queue) {
    while (queue.length) queue.unshift(...(await this.#sendSome(this.#cut(queue))));
  }

  // Say that there is no more.
  async seal() {
    await this.#insist("POST", `/api/v1/jobs/${this.#job}/seal`);
  }

  #cut(queue) {
    const most = this.#alone > 0 ? 1 : CHUNK_FILES;
    this.#alone -= 1;
    let end = 0;
    let bytes = 0;
    while (end < queue.length && end < most) {
      bytes += queue[end].file.size;
      if (end && bytes > CHUNK_BYTES) break;
      end += 1;
    }
    return queue.splice(0, end);
  }

  // Gives back those of the chunk that have to be sent again.
  async #sendSome(chunk) {
    this.#job ??= (await this.#insist("POST", "/api/v1/jobs?open=true")).job_id;
    const body = new FormData();
    for (const { file, name } of chunk) body.append("images", file, name);
    const url = `/api/v1/jobs/${this.#job}/images`;
    const answer = await this.#request("POST", url, body, (bytes) => this.#share(chunk, bytes));
    const isUnclear = !answer.status || (answer.status >= 500 && answer.value.accepted === undefined);
    if (isUnclear) return this.#afterBreak(chunk, answer);
    const refused = answer.value.refused ?? [];
    const taken = answer.isOk ? chunk.length : (answer.value.accepted ?? 0) + refused.length;
    this.#settle(chunk.slice(0, taken), refused);
    const rest = chunk.slice(taken);
    if (answer.isOk) return [];
    if (answer.retryAfter) {
      await this.#pause(answer.retryAfter, answer.value.detail);
      return rest;
    }
    return this.#afterRefusal(rest, answer);
  }

  // It broke in the middle: the job knows how many of the pictures arrived.
  async #afterBreak(chunk, answer) {
    for (const one of chunk) this.#on.progress(one, 0);
    await this.#pause(answer.retryAfter || 1, answer.value.detail);
    const { total } = await this.#insist("GET", `/api/v1/jobs/${this.#job}?limit=0`);
    const taken = Math.max(0, Math.min(chunk.length, total - this.#arrived));
    this.#settle(chunk.slice(0, taken), []);
    const rest = chunk.slice(taken);
    for (const one of rest) one.breaks = (one.breaks ?? 0) + 1;
    if (rest.length && rest[0].breaks > TRIES) this.#on.refused(rest.shift(), "it could not be sent");
    return rest;
  }

  // One picture of several made the server refuse all: alone, each has its chance.
  #afterRefusal(rest, answer) {
    if (answer.status === 403 || answer.status === 409) throw new Error(answer.value.detail);
    this.#alone = rest.length;
    if (rest.length !== 1) return rest;
    this.#on.refused(rest[0], answer.value.detail);
    return [];
  }

  #settle(pictures, refused) {
    const reasons = new Map(refused.map((one) => [one.index, one.reason]));
    for (const picture of pictures) {
      const reason = reasons.get(this.#arrived);
      this.#arrived += 1;
      if (reason) this.#on.refused(picture, reason);
      else this.#on.sent(picture);
    }
  }

  // The files lie in the body one after another: so many bytes are these files.
  #share(chunk, bytes) {
    let left = bytes;
    for (const one of chunk) {
      this.#on.progress(one, Math.max(0, Math.min(1, left / one.file.size)));
      left -= one.file.size;
    }
  }

  async #insist(method, url) {
    for (let attempt = 1; ; attempt++) {
      const answer = await this.#request(method, url);
      if (answer.isOk) return answer.value;
      const mayComeAgain = !answer.status || answer.retryAfter || answer.status >= 500;
      if (!mayComeAgain || attempt === TRIES) throw new Error(answer.value.detail);
      await this.#pause(answer.retryAfter || Math.min(2 ** (attempt - 1), LONGEST_PAUSE_S), answer.value.detail);
    }
  }

  async #pause(seconds, why) {
    this.#on.pause(`${why}; going on in ${seconds} s`);
    await new Promise((done) => {
      const timer = setTimeout(done, seconds * 1000);
      this.#stop.signal.addEventListener("abort", () => done(clearTimeout(timer)));
    });
    if (this.#stop.signal.aborted) throw new UploadStopped();
    this.#on.pause("");
  }

  async #request(method, url, body = null, progress = null) {
    let answer = await this.#send(method, url, body, progress);
    if (answer.value.code === "bad-csrf-token" && (await renew())) {
      answer = await this.#send(method, url, body, progress);
    }
    if (answer.status !== 401) return answer;
    sayOver();
    throw new SessionOver();
  }

  // fetch() tells no progress of what goes up.
  #send(method, url, body, progress) {
    return new Promise((done, fail) => {
      const request = new XMLHttpRequest();
      request.open(method, url);
      request.setRequestHeader("X-CSRF-Token", csrf());
      if (progress) request.upload.addEventListener("progress", (event) => progress(event.loaded));
      request.addEventListener("load", () => done(answerOf(request)));
      request.addEventListener("error", () => done(answerOf(request)));
      const abort = () => {
        request.abort();
        fail(new UploadStopped());
      };
      if (this.#stop.signal.aborted) return abort();
      this.#stop.signal.addEventListener("abort", abort);
      request.addEventListener("loadend", () => this.#stop.signal.removeEventListener("abort", abort));
      request.send(body);
    });
  }
}

function answerOf(request) {
  let value;
  try {
    value = JSON.parse(request.responseText);
  } catch {
    const why = request.status ? `The server answered with status ${request.status}` : "The server cannot be reached";
    value = { detail: why };
  }
  return {
    status: request.status,
    isOk: request.status >= 200 && request.status < 300,
    retryAfter: Number(request.getResponseHeader("Retry-After") ?? 0),
    value,
  };
}
