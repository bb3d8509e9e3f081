// The upload page: pictures go up as soon as they are chosen; when all are sent, their results show.

import { Announcer, bytes, count, element, isolated } from "./dom.js";
import { CardGrid } from "./grid.js";
import { droppedFiles, pastedFiles, pickedFiles, refusal } from "./picking.js";
import { recentJobs, rememberJob } from "./recent.js";
import { Sending, SessionOver, UploadStopped } from "./sending.js";

const CHECKED_AT_ONCE = 48;
const REFUSED_SHOWN = 200;

const byId = (id) => document.getElementById(id);
const form = byId("upload");
const maxBytes = Number(form.dataset.maxBytes);
const announcer = new Announcer(byId("say"));
const pictures = [];
const totals = { bytes: 0, sent: 0, refused: 0, sentBytes: 0 };
const grid = new CardGrid(byId("upload-list"), fillTile, "tile");
let sending = null;
let pauseText = "";
let isBusy = false;
let wantsSession = false;

function fillTile(tile, place) {
  const picture = pictures[place];
  if (!tile.firstChild) {
    const image = element("img");
    image.alt = "";
    image.decoding = "async";
    const url = picture.file ? URL.createObjectURL(picture.file) : "";
    const forget = () => URL.revokeObjectURL(url);
    image.addEventListener("load", forget);
    image.addEventListener("error", () => {
      forget();
      image.replaceWith(element("span", "blank"));
    });
    if (url) image.src = url;
    tile.append(image, element("p", "name", isolated(picture.name)), element("p", "state"));
  }
  tile.classList.toggle("refused", picture.state === "refused");
  tile.classList.toggle("sent", picture.state === "sent");
  tile.querySelector(".state").textContent = stateText(picture);
}

function stateText({ state, share }) {
  return state === "uploading" ? `${Math.min(99, Math.floor(100 * share))}%` : state;
}

function change(picture, news) {
  Object.assign(picture, news);
  grid.touch(picture.place);
}

function refuse(picture, reason) {
  totals.refused += 1;
  change(picture, { state: "refused" });
  byId("refused").hidden = false;
  byId("refused-title").textContent = `${count(totals.refused, "file")} left out`;
  if (totals.refused <= REFUSED_SHOWN) {
    const line = element("li", "", element("strong", "", isolated(picture.name)), ": ", isolated(reason));
    byId("refused-list").append(line);
  }
}

function newSending() {
  return new Sending({
    progress: (picture, share) => {
      if (share < 1 || picture.state !== "sent") change(picture, { state: "uploading", share });
      tell();
    },
    sent: (picture) => {
      totals.sent += 1;
      totals.sentBytes += picture.file.size;
      change(picture, { state: "sent", share: 1 });
      tell();
    },
    refused: (picture, reason) => {
      refuse(picture, reason);
      tell();
    },
    pause: (text) => {
      pauseText = text;
      tell();
    },
  });
}

function tell() {
  const done = totals.sent + totals.refused;
  const text = `${totals.sent} of ${count(pictures.length - totals.refused, "picture")} uploaded`;
  const moving = pictures.reduce((sum, one) => sum + (one.state === "uploading" ? one.share * one.file.size : 0), 0);
  byId("headline").textContent = pauseText || text;
  byId("amount").hidden = byId("upload-bar").hidden = !totals.bytes;
  byId("amount").textContent = `${bytes(totals.sentBytes + moving)} of ${bytes(totals.bytes)}`;
  byId("upload-bar").value = totals.bytes ? (totals.sentBytes + moving) / totals.bytes : 0;
  document.title = `${done} of ${pictures.length} uploaded - iraas`;
  announcer.say(pauseText || text);
}

async function add(source) {
  for await (const { file, name } of source) {
    const place = pictures.length;
    pictures.push({ place, file, name, state: "waiting", share: 0 });
    totals.bytes += file?.size ?? 0;
    if (place % 100 === 0) showTiles();
  }
  showTiles();
  if (!isBusy && pictures.length) run();
}

function showTiles() {
  byId("sending").hidden = pictures.length === 0;
  document.documentElement.classList.toggle("is-sending", pictures.length > 0);
  grid.show(pictures.map((one) => one.place));
}

// Those that are neither sent nor refused; more may be added while these are on their way.
const unsettled = () => pictures.filter((one) => one.state === "waiting" || one.state === "uploading");

async function run() {
  isBusy = true;
  wantsSession = false;
  offer({ stop: true });
  sending ??= newSending();
  try {
    for (let left = unsettled(); left.length; left = unsettled()) {
      await sending.send(await checked(left.slice(0, CHECKED_AT_ONCE)));
    }
    await finish();
  } catch (error) {
    if (error instanceof UploadStopped) await finish();
    else if (error instanceof SessionOver) waitForSession();
    else breakOff(error.message);
  } finally {
    isBusy = false;
  }
}

async function checked(some) {
  const good = [];
  for (const picture of some) {
    const reason = await refusal(picture.file, maxBytes);
    if (reason) {
      totals.bytes -= picture.file?.size ?? 0;
      refuse(picture, reason);
    } else good.push(picture);
  }
  tell();
  return good;
}

async function finish() {
  const done = sending;
  sending = null;
  const isStopped = unsettled().length > 0;
  if (!done.job) {
    byId("headline").textContent = isStopped ? "Stopped. Nothing was sent." : "None of these is a picture that can be labelled.";
    announcer.say(byId("headline").textContent, true);
    offer({});
    return;
  }
  // What was stopped by hand has used up its own sending.
  await (isStopped ? newSendingFor(done.job) : done).seal();
  const url = `/jobs/${done.job}`;
  rememberJob(done.job, Date.now() / 1000, totals.sent);
  isBusy = false;
  if (!totals.refused || isStopped) location.assign(url);
  else offer({ results: url });
}

function newSendingFor(job) {
  const one = newSending();
  one.resume(job);
  return one;
}

// What was chosen stays chosen.
function waitForSession() {
  wantsSession = true;
  byId("headline").textContent = "The upload waits until you have logged in.";
  offer({ again: true });
}

function breakOff(why) {
  byId("headline").textContent = `The upload broke off: ${why}.`.replace("..", ".");
  announcer.say(byId("headline").textContent, true);
  offer({ again: true, results: sending?.job ? `/jobs/${sending.job}` : "" });
}

// What can be done now.
function offer({ stop = false, again = false, results = "" }) {
  byId("stop").hidden = !stop;
  byId("again").hidden = !again;
  byId("to-results").hidden = !results;
  if (!results) return;
  byId("to-results").href = results;
  if (again) return;
  announcer.say(`${count(totals.sent, "picture")} sent, ${totals.refused} left out.`, true);
  byId("to-results").focus();
}

function showRecent() {
  const jobs = recentJobs();
  byId("recent").hidden = jobs.length === 0;
  for (const { id, at, total } of jobs) {
    const link = element("a", "", count(total, "picture"));
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
  byId("stop").addEventListener("click", () => sending?.stop());
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
