// The upload page: images are uploaded as soon as they are chosen; then their results open.

import { Announcer, bytes, count, element, isolated } from "./dom.js";
import { CardGrid } from "./grid.js";
import { droppedFiles, pastedFiles, pickedFiles, refusal } from "./picking.js";
import { recentJobs, rememberJob } from "./recent.js";
import { Uploader, SessionOver, UploadStopped } from "./sending.js";

const CHECKED_AT_ONCE = 48;
const REFUSED_SHOWN = 200;

const byId = (id) => document.getElementById(id);
const form = byId("upload");
const maxBytes = Number(form.dataset.maxBytes);
const announcer = new Announcer(byId("say"));
const images = [];
const totals = { bytes: 0, sent: 0, refused: 0, sentBytes: 0 };
const grid = new CardGrid(byId("upload-list"), fillTile, "tile");
let uploader = null;
let pauseText = "";
let isBusy = false;
let wantsSession = false;

function fillTile(tile, index) {
  const image = images[index];
  if (!tile.firstChild) {
    const img = element("img");
    img.alt = "";
    img.decoding = "async";
    const url = image.file ? URL.createObjectURL(image.file) : "";
    const forget = () => URL.revokeObjectURL(url);
    img.addEventListener("load", forget);
    img.addEventListener("error", () => {
      forget();
      img.replaceWith(element("span", "blank"));
    });
    if (url) img.src = url;
    tile.append(img, element("p", "name", isolated(image.name)), element("p", "state"));
  }
  tile.classList.toggle("refused", image.state === "refused");
  tile.classList.toggle("sent", image.state === "sent");
  tile.querySelector(".state").textContent = stateText(image);
}

function stateText({ state, share }) {
  return state === "uploading" ? `${Math.min(99, Math.floor(100 * share))}%` : state;
}

function change(image, changes) {
  Object.assign(image, changes);
  grid.touch(image.index);
}

function refuse(image, reason) {
  totals.refused += 1;
  change(image, { state: "refused" });
  byId("refused").hidden = false;
  byId("refused-title").textContent = `${count(totals.refused, "file")} left out`;
  if (totals.refused <= REFUSED_SHOWN) {
    const line = element("li", "", element("strong", "", isolated(image.name)), ": ", isolated(reason));
    byId("refused-list").append(line);
  }
}

function newUpload() {
  return new Uploader({
    progress: (image, share) => {
      if (share < 1 || image.state !== "sent") change(image, { state: "uploading", share });
      updateStatus();
    },
    sent: (image) => {
      totals.sent += 1;
      totals.sentBytes += image.file.size;
      change(image, { state: "sent", share: 1 });
      updateStatus();
    },
    refused: (image, reason) => {
      refuse(image, reason);
      updateStatus();
    },
    pause: (text) => {
      pauseText = text;
      updateStatus();
    },
  });
}

function updateStatus() {
  const done = totals.sent + totals.refused;
  const text = `${totals.sent} of ${count(images.length - totals.refused, "image")} uploaded`;
  const moving = images.reduce((sum, one) => sum + (one.state === "uploading" ? one.share * one.file.size : 0), 0);
  byId("headline").textContent = pauseText || text;
  byId("amount").hidden = byId("upload-bar").hidden = !totals.bytes;
  byId("amount").textContent = `${bytes(totals.sentBytes + moving)} of ${bytes(totals.bytes)}`;
  byId("upload-bar").value = totals.bytes ? (totals.sentBytes + moving) / totals.bytes : 0;
  document.title = `${done} of ${images.length} uploaded - iraas`;
  announcer.say(pauseText || text);
}

async function add(source) {
  for await (const { file, name } of source) {
    const index = images.length;
    images.push({ index, file, name, state: "waiting", share: 0 });
    totals.bytes += file?.size ?? 0;
    if (index % 100 === 0) showTiles();
  }
  showTiles();
  if (!isBusy && images.length) run();
}

function showTiles() {
  byId("sending").hidden = images.length === 0;
  document.documentElement.classList.toggle("is-sending", images.length > 0);
  grid.show(images.map((image) => image.index));
}

// Images neither sent nor refused yet; more may be added during an upload.
const unfinished = () => images.filter(({ state }) => state === "waiting" || state === "uploading");

async function run() {
  isBusy = true;
  wantsSession = false;
  showActions({ stop: true });
  uploader ??= newUpload();
  try {
    for (let left = unfinished(); left.length; left = unfinished()) {
      await uploader.send(await checked(left.slice(0, CHECKED_AT_ONCE)));
    }
    await finish();
  } catch (error) {
    if (error instanceof UploadStopped) await finish();
    else if (error instanceof SessionOver) waitForSession();
    else fail(error.message);
  } finally {
    isBusy = false;
  }
}

async function checked(some) {
  const good = [];
  for (const image of some) {
    const reason = await refusal(image.file, maxBytes);
    if (reason) {
      totals.bytes -= image.file?.size ?? 0;
      refuse(image, reason);
    } else good.push(image);
  }
  updateStatus();
  return good;
}

async function finish() {
  const done = uploader;
  uploader = null;
  const isStopped = unfinished().length > 0;
  if (!done.job) {
    byId("headline").textContent = isStopped ? "Stopped. Nothing was sent." : "None of these is an image that can be labelled.";
    announcer.say(byId("headline").textContent, true);
    showActions({});
    return;
  }
  // A stopped uploader cannot send any more requests.
  await (isStopped ? resumedUpload(done.job) : done).seal();
  const url = `/jobs/${done.job}`;
  rememberJob(done.job, Date.now() / 1000, totals.sent);
  isBusy = false;
  if (!totals.refused || isStopped) location.assign(url);
  else showActions({ results: url });
}

function resumedUpload(job) {
  const upload = newUpload();
  upload.resume(job);
  return upload;
}

// The chosen images are kept.
function waitForSession() {
  wantsSession = true;
  byId("headline").textContent = "The upload waits until you have logged in.";
  showActions({ again: true });
}

function fail(reason) {
  byId("headline").textContent = `The upload was interrupted: ${reason}.`.replace("..", ".");
  announcer.say(byId("headline").textContent, true);
  showActions({ again: true, results: uploader?.job ? `/jobs/${uploader.job}` : "" });
}

// Shows the actions that are possible now.
function showActions({ stop = false, again = false, results = "" }) {
  byId("stop").hidden = !stop;
  byId("again").hidden = !again;
  byId("to-results").hidden = !results;
  if (!results) return;
  byId("to-results").href = results;
  if (again) return;
  announcer.say(`${count(totals.sent, "image")} sent, ${totals.refused} left out.`, true);
  byId("to-results").focus();
}

function showRecent() {
  const jobs = recentJobs();
  byId("recent").hidden = jobs.length === 0;
  for (const { id, at, total } of jobs) {
    const link = element("a", "", count(total, "image"));
    link.href = `/jobs/${id}`;
    byId("recent-list").append(element("li", "", link, ` ${new Date(at * 1000).toLocaleString()}`));
  }
}

function wire() {
  const files = byId("images");
  const folder = byId("folder");
  const zone = byId("drop");
  for (const input of [files, folder]) {
    input.addEventListener("change", async () => {
      const chosen = [...input.files];
      input.value = ""; // the same files can be chosen once more
      await add(pickedFiles(chosen));
    });
  }
  byId("choose").addEventListener("click", () => files.click());
  byId("choose-folder").addEventListener("click", () => folder.click());
  byId("stop").addEventListener("click", () => uploader?.stop());
  byId("again").addEventListener("click", () => !isBusy && run());
  document.addEventListener("session", () => wantsSession && !isBusy && run());
  const hasFiles = (event) => event.dataTransfer?.types.includes("Files");
  document.addEventListener("dragover", (event) => {
    if (!hasFiles(event)) return;
    event.preventDefault();
    zone.classList.add("over");
  });
  document.addEventListener("dragleave", (event) => {
    if (!event.relatedTarget) zone.classList.remove("over");
  });
  document.addEventListener("drop", (event) => {
    if (!hasFiles(event)) return;
    event.preventDefault();
    zone.classList.remove("over");
    add(droppedFiles(event.dataTransfer));
  });
  document.addEventListener("paste", (event) => add(pastedFiles(event.clipboardData)));
  addEventListener("beforeunload", (event) => {
    if (isBusy) event.preventDefault();
  });
}

wire();
showRecent();
document.documentElement.classList.add("ready"); // what needs this script can be used now
