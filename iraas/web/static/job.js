// The results page: cards are filled in as outcomes arrive.

import { canRetry, fillCard, showDetails, statusOf } from "./card.js";
import { Announcer } from "./dom.js";
import { Follower, ranges } from "./follow.js";
import { CardGrid } from "./grid.js";
import { headline } from "./headline.js";
import { Names } from "./names.js";
import { arranged } from "./order.js";
import { rememberJob } from "./recent.js";
import { fetchWithToken } from "./session.js";

const ARRANGE_EVERY_MS = 250;
const HIDDEN_POLL_MS = 15_000;
const FIND_FROM = 5; // fewer need no search
const QUOTED = 40;

const byId = (id) => document.getElementById(id);
const first = JSON.parse(byId("first").textContent);
const job = first.job.job_id;
const announcer = new Announcer(byId("say"));
const images = [];
let state = first.job;
let isDisconnected = false;
let timer = 0;

const grid = new CardGrid(byId("cards"), (card, index) => {
  fillCard(card, job, images[index], first.shows_early);
}, "card");
const names = new Names(job, (index, name) => {
  const image = imageAt(index);
  if (image.name) return;
  image.name = name;
  grid.touch(index);
  arrangeSoon();
});
const follower = new Follower(streamUrl, {
  outcomes: addOutcomes,
  progress: show,
  end: show,
  connection: (isConnected) => {
    isDisconnected = !isConnected;
    show(state);
  },
});

function imageAt(index) {
  return (images[index] ??= { index, name: "", outcome: null });
}

function grow(total) {
  for (let index = images.length; index < total; index++) imageAt(index);
}

function addOutcomes(outcomes) {
  for (const outcome of outcomes) {
    const image = imageAt(Number(outcome.request_id.slice(-8)));
    if (image.outcome?.completed_at === outcome.completed_at) continue;
    Object.assign(image, { name: outcome.name, outcome, hasNoThumbnail: false });
    grid.touch(image.index);
  }
  arrangeSoon();
}

function view() {
  return {
    kind: document.querySelector('input[name="show"]:checked').value,
    text: byId("find").value.trim().toLowerCase(),
    order: byId("sort").value,
  };
}

function arrange() {
  clearTimeout(timer);
  timer = 0;
  grow(state.total);
  byId("cards").classList.toggle("single", state.total === 1);
  const keys = arranged(images, view());
  grid.show(keys);
  byId("nothing").hidden = keys.length > 0;
  byId("nothing").textContent = nothingText(view());
  updateCounts();
}

function nothingText({ kind, text }) {
  if (!state.total) return state.state === "open" ? "No image has arrived yet." : "This job has no images.";
  if (text) return `No image matches '${text.length > QUOTED ? `${text.slice(0, QUOTED)}…` : text}'.`;
  return { ok: "No image is labelled yet.", failed: "No image has failed.", waiting: "No image is waiting." }[kind];
}

function arrangeSoon() {
  timer ||= setTimeout(arrange, ARRANGE_EVERY_MS);
}

function updateCounts() {
  const counts = { all: state.total, ok: 0, failed: 0 };
  let retriable = 0;
  for (const one of images) {
    const status = one ? statusOf(one) : "waiting";
    if (status !== "waiting") counts[status] += 1;
    if (one && canRetry(one)) retriable += 1;
  }
  counts.waiting = Math.max(0, state.total - counts.ok - counts.failed);
  for (const [kind, number] of Object.entries(counts)) {
    byId(`count-${kind}`).textContent = number.toLocaleString("en");
    const chip = byId(`count-${kind}`).closest("label");
    chip.hidden = kind !== "all" && number === 0 && !chip.querySelector(":checked");
  }
  byId("cards").classList.toggle("is-cancelled", state.cancelled);
  byId("tools").hidden = state.total < 2;
  for (const id of ["find", "sort"]) byId(id).closest("label").hidden = state.total < FIND_FROM;
  byId("more-tools").hidden = state.total < FIND_FROM;
  byId("retry-all").hidden = retriable === 0 || state.cancelled;
}

// The server counts the failures of a large job gradually; this page may know all of them.
function counted(job) {
  const known = images.filter((one) => one?.outcome);
  if (job.is_counted || known.length < job.done) return job;
  return { ...job, failed: known.filter((one) => statusOf(one) === "failed").length, is_counted: true };
}

function show(next) {
  const hasGrown = next.total !== state.total;
  state = { ...state, ...next };
  const isOver = state.state === "done";
  const text = headline(counted(state));
  byId("progress").textContent = text;
  byId("progress").dataset.state = state.state;
  byId("bar").max = state.total || 1;
  byId("bar").value = state.done;
  byId("cancel").hidden = isOver || state.cancelled;
  byId("delete").hidden = !isOver && !state.cancelled;
  byId("away").hidden = !isDisconnected || isOver;
  document.title = `${isOver ? "✓ " : ""}${state.done} of ${state.total} - iraas`;
  announcer.say(isDisconnected && !isOver ? "The connection is lost; trying again." : text, isOver);
  rememberJob(job, state.created_at, state.total);
  if (hasGrown) arrangeSoon();
}

function streamUrl() {
  const seen = images.filter((image) => image?.outcome).map((image) => image.index);
  return `${first.job.events_url}?seen=${encodeURIComponent(ranges(seen))}`;
}

async function retry(index) {
  const query = index === undefined ? "" : `?index=${index}`;
  let problem = "";
  try {
    const response = await fetchWithToken(`/api/v1/jobs/${job}/retry${query}`, "POST");
    const body = await response.json();
    if (!response.ok) problem = body.detail;
    else if (!body.retried) problem = "There was nothing to retry.";
  } catch {
    problem = "The server cannot be reached. Try again in a moment.";
  }
  byId("problem").textContent = problem;
  if (problem) return;
  for (const image of images) {
    if (!canRetry(image) || (index !== undefined && image.index !== index)) continue;
    image.outcome = null;
    grid.touch(image.index);
  }
  show({ ...state, state: "working" });
  arrange();
  follower.start(); // the stream sends outcomes that were not retried after all
}

async function cancel() {
  try {
    const response = await fetchWithToken(`/api/v1/jobs/${job}/cancel`, "POST");
    const body = await response.json();
    byId("problem").textContent = response.ok ? "" : body.detail;
    if (response.ok) show(body);
  } catch {
    byId("problem").textContent = "The server cannot be reached. Try again in a moment.";
  }
}

async function copyLink() {
  const address = location.origin + location.pathname;
  const text = byId("copy").querySelector("span");
  try {
    await navigator.clipboard.writeText(address);
    text.textContent = "Copied";
    announcer.say("The link is copied.", true);
    setTimeout(() => (text.textContent = "Copy link"), 2000);
  } catch {
    prompt("The link to this page:", address); // no clipboard access without https, except on localhost
  }
}

// Browsers limit the connections to a server, and a stream takes one: a hidden page polls instead.
async function pollWhileHidden() {
  if (!document.hidden || state.state === "done") return;
  const response = await fetch(`${first.job.events_url.replace(/\/events$/, "")}?limit=0`).catch(() => null);
  if (response?.ok) show(await response.json());
  setTimeout(pollWhileHidden, HIDDEN_POLL_MS);
}

document.addEventListener("visibilitychange", () => {
  if (document.hidden) {
    follower.stop();
    pollWhileHidden();
  } else {
    follower.start();
  }
});
byId("cards").addEventListener("drawn", () => {
  names.request(grid.present.filter((index) => !images[index].name), state.total);
});
byId("cards").addEventListener("click", (event) => {
  const again = event.target.closest("[data-retry]");
  const card = event.target.closest("li[data-index]");
  if (again) retry(Number(again.dataset.retry));
  else if (card && getSelection().isCollapsed) {
    showDetails(byId("details"), job, images[Number(card.dataset.index)], first.shows_early);
  }
});
byId("details").addEventListener("click", (event) => {
  if (event.target === event.currentTarget) event.currentTarget.close(); // a click outside of the dialog
});
byId("find").addEventListener("input", async () => {
  arrangeSoon();
  if (byId("find").value) await names.request(images.map((image) => image.index), state.total);
});
byId("sort").addEventListener("change", arrange);
for (const one of document.querySelectorAll('input[name="show"]')) one.addEventListener("change", arrange);
byId("retry-all").addEventListener("submit", (event) => {
  event.preventDefault();
  retry();
});
byId("copy").addEventListener("click", copyLink);
byId("more-tools").addEventListener("click", ({ currentTarget }) => {
  currentTarget.setAttribute("aria-expanded", String(byId("tools").classList.toggle("has-more")));
});
byId("cancel").addEventListener("click", (event) => {
  event.preventDefault();
  byId("ask-cancel").showModal();
});
byId("ask-cancel").addEventListener("close", (event) => {
  if (event.target.returnValue === "cancel") cancel();
  event.target.returnValue = "";
});
document.addEventListener("session", () => follower.start());

for (const { index, name, outcome } of first.cards) Object.assign(imageAt(index), { name, outcome });
byId("sent").textContent = new Date(state.created_at * 1000).toLocaleString([], { dateStyle: "medium", timeStyle: "short" });
show(state);
arrange();
follower.start();
document.documentElement.classList.add("ready"); // what needs this script can be used now
