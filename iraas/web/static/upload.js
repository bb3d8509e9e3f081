// The upload page: pictures go up some at a time, into one open job that is sealed at the end.
"use strict";

const CHUNK_FILES = 16;
const CHUNK_BYTES = 16_000_000;
const AT_ONCE = 2;
const TRIES = 5;

const form = document.getElementById("upload");
const input = document.getElementById("images");
const drop = form.querySelector(".drop");
const list = document.getElementById("upload-list");
const status = document.getElementById("upload-status");
const maxBytes = Number(form.dataset.maxBytes);
const csrf = document.querySelector('meta[name="csrf-token"]')?.content ?? "";
let busy = false;

function say(text) {
  status.textContent = text;
}

function addCard(file, name) {
  const item = document.createElement("li");
  item.className = "card";
  const image = document.createElement("img");
  image.alt = "";
  image.src = URL.createObjectURL(file);
  image.onload = image.onerror = () => URL.revokeObjectURL(image.src);
  const title = document.createElement("h3");
  const text = document.createElement("bdi");
  text.textContent = name;
  title.append(text);
  const state = document.createElement("p");
  state.className = "time";
  state.textContent = "waiting";
  item.append(image, title, state);
  list.append(item);
  return state;
}

async function post(url, body) {
  for (let attempt = 1; ; attempt++) {
    const answer = await fetch(url, { method: "POST", body, headers: { "X-CSRF-Token": csrf } });
    if (answer.ok) return answer.json();
    const wait = Number(answer.headers.get("Retry-After") ?? 0);
    const problem = await answer.json().catch(() => ({ detail: `status ${answer.status}` }));
    if (!wait || attempt === TRIES) throw new Error(problem.detail);
    say(`${problem.detail}; trying again in ${wait} s`);
    await new Promise((done) => setTimeout(done, wait * 1000));
  }
}

function chunksOf(pictures) {
  const chunks = [];
  let chunk = [];
  let bytes = 0;
  for (const picture of pictures) {
    if (chunk.length === CHUNK_FILES || (chunk.length && bytes + picture.file.size > CHUNK_BYTES)) {
      chunks.push(chunk);
      chunk = [];
      bytes = 0;
    }
    chunk.push(picture);
    bytes += picture.file.size;
  }
  if (chunk.length) chunks.push(chunk);
  return chunks;
}

async function sendChunk(job, chunk) {
  const body = new FormData();
  for (const { file, name, state } of chunk) {
    body.append("images", file, name);
    state.textContent = "uploading";
  }
  const result = await post(`/api/v1/jobs/${job}/images`, body);
  const reasons = new Map(result.refused.map((one) => [one.name, one.reason]));
  for (const { name, state } of chunk) {
    const reason = reasons.get(name);
    state.textContent = reason ? `refused: ${reason}` : "sent";
    state.classList.toggle("failed", Boolean(reason));
  }
}

async function send(files) {
  if (busy || !files.length) return;
  busy = true;
  const pictures = [];
  for (const [file, name] of files) {
    const state = addCard(file, name);
    if (file.size > maxBytes) {
      state.textContent = `refused: it has more than the ${maxBytes} bytes allowed`;
      state.classList.add("failed");
    } else {
      pictures.push({ file, name, state });
    }
  }
  try {
    const { job_id: job } = await post("/api/v1/jobs?open=true");
    const chunks = chunksOf(pictures);
    let sent = 0;
    const run = async () => {
      for (let chunk = chunks.shift(); chunk; chunk = chunks.shift()) {
        await sendChunk(job, chunk);
        sent += chunk.length;
        say(`${sent} of ${pictures.length} uploaded`);
      }
    };
    await Promise.all(Array.from({ length: AT_ONCE }, run));
    await post(`/api/v1/jobs/${job}/seal`);
    location.assign(`/jobs/${job}`);
  } catch (error) {
    say(`The upload broke off: ${error.message}`);
    busy = false;
  }
}

async function filesOf(entry, path = "") {
  if (entry.isFile) {
    const file = await new Promise((done, fail) => entry.file(done, fail));
    return [[file, path + file.name]];
  }
  const reader = entry.createReader();
  const found = [];
  for (;;) {
    const some = await new Promise((done, fail) => reader.readEntries(done, fail));
    if (!some.length) return found;
    for (const one of some) found.push(...(await filesOf(one, `${path}${entry.name}/`)));
  }
}

form.addEventListener("submit", (event) => {
  event.preventDefault();
  send([...input.files].map((file) => [file, file.name]));
});
input.addEventListener("change", () => form.requestSubmit());
drop.addEventListener("dragover", (event) => {
  event.preventDefault();
  drop.classList.add("over");
});
drop.addEventListener("dragleave", () => drop.classList.remove("over"));
drop.addEventListener("drop", async (event) => {
  event.preventDefault();
  drop.classList.remove("over");
  const entries = [...event.dataTransfer.items].map((one) => one.webkitGetAsEntry()).filter(Boolean);
  const found = [];
  for (const entry of entries) found.push(...(await filesOf(entry)));
  send(found);
});
document.addEventListener("paste", (event) => {
  send([...event.clipboardData.files].map((file) => [file, file.name || "pasted"]));
});
