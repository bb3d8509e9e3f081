// Uploading images into one job, in chunks and one request after another: so that it is always known
// which of them have arrived, and none is sent twice after a connection error.

import { csrf } from "./dom.js";
import { renew, showSessionOver } from "./session.js";

const CHUNK_FILES = 24;
const CHUNK_BYTES = 8_000_000;
const TRIES = 8;
const LONGEST_PAUSE_S = 20;

export class UploadStopped extends Error {}
export class SessionOver extends Error {}

export class Uploader {
  #on;
  #job = null;
  #arrived = 0;
  #singly = 0;
  #stop = new AbortController();

  // `on` has the callbacks `progress(image, share)`, `sent(image)`, `refused(image, reason)`, `pause(text)`.
  constructor(on) {
    this.#on = on;
  }

  // The job's id; null before the first request.
  get job() {
    return this.#job;
  }

  stop() {
    this.#stop.abort();
  }

  // Continue an upload of this page.
  resume(job) {
    this.#job = job;
  }

  // Send the queued images until the queue is empty; it may grow meanwhile.
  async send(queue) {
    while (queue.length) queue.unshift(...(await this.#sendSome(this.#cut(queue))));
  }

  // Mark the job as complete.
  async seal() {
    await this.#requestWithRetry("POST", `/api/v1/jobs/${this.#job}/seal`);
  }

  #cut(queue) {
    const most = this.#singly > 0 ? 1 : CHUNK_FILES;
    this.#singly -= 1;
    let end = 0;
    let bytes = 0;
    while (end < queue.length && end < most) {
      bytes += queue[end].file.size;
      if (end && bytes > CHUNK_BYTES) break;
      end += 1;
    }
    return queue.splice(0, end);
  }

  // Returns the images of the chunk that have to be sent again.
  async #sendSome(chunk) {
    this.#job ??= (await this.#requestWithRetry("POST", "/api/v1/jobs?open=true")).job_id;
    const body = new FormData();
    for (const { file, name } of chunk) body.append("images", file, name);
    const url = `/api/v1/jobs/${this.#job}/images`;
    const response = await this.#request("POST", url, body, (bytes) => this.#share(chunk, bytes));
    const isUnclear = !response.status || (response.status >= 500 && response.value.accepted === undefined);
    if (isUnclear) return this.#afterInterruption(chunk, response);
    const refused = response.value.refused ?? [];
    const taken = response.isOk ? chunk.length : (response.value.accepted ?? 0) + refused.length;
    this.#settle(chunk.slice(0, taken), refused);
    const rest = chunk.slice(taken);
    if (response.isOk) return [];
    if (response.retryAfter) {
      await this.#pause(response.retryAfter, response.value.detail);
      return rest;
    }
    return this.#afterRefusal(rest, response);
  }

  // After a connection error, the job's total says how many of the images arrived.
  async #afterInterruption(chunk, response) {
    for (const one of chunk) this.#on.progress(one, 0);
    await this.#pause(response.retryAfter || 1, response.value.detail);
    const { total } = await this.#requestWithRetry("GET", `/api/v1/jobs/${this.#job}?limit=0`);
    const taken = Math.max(0, Math.min(chunk.length, total - this.#arrived));
    this.#settle(chunk.slice(0, taken), []);
    const rest = chunk.slice(taken);
    for (const one of rest) one.interruptions = (one.interruptions ?? 0) + 1;
    if (rest.length && rest[0].interruptions > TRIES) this.#on.refused(rest.shift(), "it could not be sent");
    return rest;
  }

  // If one image makes the server refuse a whole chunk, the images are sent one by one.
  #afterRefusal(rest, response) {
    if (response.status === 403 || response.status === 409) throw new Error(response.value.detail);
    this.#singly = rest.length;
    if (rest.length !== 1) return rest;
    this.#on.refused(rest[0], response.value.detail);
    return [];
  }

  #settle(images, refused) {
    const reasons = new Map(refused.map((one) => [one.index, one.reason]));
    for (const image of images) {
      const reason = reasons.get(this.#arrived);
      this.#arrived += 1;
      if (reason) this.#on.refused(image, reason);
      else this.#on.sent(image);
    }
  }

  // The body contains the files in order, so that its uploaded bytes give the progress of each.
  #share(chunk, bytes) {
    let left = bytes;
    for (const one of chunk) {
      this.#on.progress(one, Math.max(0, Math.min(1, left / one.file.size)));
      left -= one.file.size;
    }
  }

  async #requestWithRetry(method, url) {
    for (let attempt = 1; ; attempt++) {
      const response = await this.#request(method, url);
      if (response.isOk) return response.value;
      const canRetry = !response.status || response.retryAfter || response.status >= 500;
      if (!canRetry || attempt === TRIES) throw new Error(response.value.detail);
      await this.#pause(response.retryAfter || Math.min(2 ** (attempt - 1), LONGEST_PAUSE_S), response.value.detail);
    }
  }

  async #pause(seconds, reason) {
    this.#on.pause(`${reason}; retrying in ${seconds} s`);
    await new Promise((done) => {
      const timer = setTimeout(done, seconds * 1000);
      this.#stop.signal.addEventListener("abort", () => done(clearTimeout(timer)));
    });
    if (this.#stop.signal.aborted) throw new UploadStopped();
    this.#on.pause("");
  }

  async #request(method, url, body = null, progress = null) {
    let response = await this.#send(method, url, body, progress);
    if (response.value.code === "bad-csrf-token" && (await renew())) {
      response = await this.#send(method, url, body, progress);
    }
    if (response.status !== 401) return response;
    showSessionOver();
    throw new SessionOver();
  }

  // fetch() reports no upload progress.
  #send(method, url, body, progress) {
    return new Promise((done, fail) => {
      const request = new XMLHttpRequest();
      request.open(method, url);
      request.setRequestHeader("X-CSRF-Token", csrf());
      if (progress) request.upload.addEventListener("progress", (event) => progress(event.loaded));
      request.addEventListener("load", () => done(toResponse(request)));
      request.addEventListener("error", () => done(toResponse(request)));
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

function toResponse(request) {
  let value;
  try {
    value = JSON.parse(request.responseText);
  } catch {
    const reason = request.status ? `The server answered with status ${request.status}` : "The server cannot be reached";
    value = { detail: reason };
  }
  return {
    status: request.status,
    isOk: request.status >= 200 && request.status < 300,
    retryAfter: Number(request.getResponseHeader("Retry-After") ?? 0),
    value,
  };
}
