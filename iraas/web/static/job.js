// The results page: cards fill in as outcomes come.

import { canRetry, fillCard, showDetails, statusOf } from "./card.js";
import { Announcer } from "./dom.js";
import { Follower, ranges } from "./follow.js";
import { CardGrid } from "./grid.js";
import { headline } from "./headline.js";
import { Names } from "./names.js";
import { arranged } from "./order.js";
import { rememberJob } from "./recent.js";
import { ask } from "./session.js";

const ARRANGE_EVERY_MS = 250;
const HIDDEN_EVERY_MS = 15_000;
const FIND_FROM = 5; // fewer are seen at a glance
const QUOTED = 40;

const byId = (id) => document.getElementById(id);
const first = JSON.parse(byId("first").textContent);
const job = first.job.job_id;
const announcer = new Announcer(byId("say"));
const pictures = [];
let state = first.job;
let isAway = false;
let timer = 0;

const grid = new CardGrid(byId("cards"), (card, index) => {
  fillCard(card, job, pictures[index], first.shows_early);
}, "card");
const names = new Names(job, (index, name) => {
  const picture = pictureAt(index);
  if (picture.name) return;
  picture.name = name;
  grid.touch(index);
  arrangeSoon();
});
const follower = new Follower(streamUrl, {
  outcomes: take,
  progress: show,
  end: show,
  connection: (isThere) => {
    isAway = !isThere;
    show(state);
  },
});

function pictureAt(index) {
  return (pictures[index] ??= { index, name: "", outcome: null });
}

function grow(total) {
  for (let index = pictures.length; index < total; index++) pictureAt(index);
}

function take(outcomes) {
  for (const outcome of outcomes) {
    const picture = pictureAt(Number(outcome.request_id.slice(-8)));
    if (picture.outcome?.completed_at === outcome.completed_at) continue;
    Object.assign(picture, { name: outcome.name, outcome, hasNoShot: false });
    grid.touch(picture.index);
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
  const keys = arranged(pictures, view());
  grid.show(keys);
  byId("nothing").hidden = keys.length > 0;
  byId("nothing").textContent = nothingText(view());
  tally();
}

function nothingText({ kind, text }) {
  if (!state.total) return state.state === "open" ? "No picture has arrived yet." : "This job has no pictures.";
  if (text) return `No picture matches '${text.length > QUOTED ? `${text.slice(0, QUOTED)}…` : text}'.`;
  return { ok: "No picture is labelled yet.", failed: "No picture has failed.", waiting: "No picture is waiting." }[kind];
}

function arrangeSoon() {
  timer ||= setTimeout(arrange, ARRANGE_EVERY_MS);
}

function tally() {
  const counts = { all: state.total, ok: 0, failed: 0 };
  let retriable = 0;
  for (const one of pictures) {
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

// The server counts the failures of a large job little by little; this page may know all of them.
function counted(job) {
  const known = pictures.filter((one) => one?.outcome);
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
  byId("away").hidden = !isAway || isOver;
  document.title = `${isOver ? "✓ " : ""}${state.done} of ${state.total} - iraas`;
  announcer.say(isAway && !isOver ? "The connection is lost; trying again." : text, isOver);
  rememberJob(job, state.created_at, state.total);
  if (hasGrown) arrangeSoon();
}

function streamUrl() {
  const seen = pictures.filter((one) => one?.outcome).map((one) => one.index);
  return `${first.job.events_url}?seen=${encodeURIComponent(ranges(seen))}`;
}

async function retry(index) {
  const query = index === undefined ? "" : `?index=${index}`;
  let problem = "";
  try {
    const answer = await ask(`/api/v1/jobs/${job}/retry${query}`, "POST");
    const told = await answer.json();
    if (!answer.ok) problem = told.detail;
    else if (!told.retried) problem = "There was nothing that could be tried again.";
  } catch {
    problem = "The server cannot be reached. Try again in a moment.";
  }
  byId("problem").textContent = problem;
  if (problem) return;
  for (const picture of pictures) {
    if (!canRetry(picture) || (index !== undefined && picture.index !== index)) continue;
    picture.outcome = null;
    grid.touch(picture.index);
  }
  show({ ...state, state: "working" });
  arrange();
  follower.start(); // and what was not tried again after all comes back with the stream
}

async function cancel() {
  try {
    const answer = await ask(`/api/v1/jobs/${job}/cancel`, "POST");
    const told = await answer.json();
    byId("problem").textContent = answer.ok ? "" : told.detail;
    if (answer.ok) show(told);
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
    prompt("The link to this page:", address); // no clipboard without https, save on this machine
  }
}

// A stream takes one of the few connections that a browser has to a server: not for a page that
// nobody sees.
async function lookWhileHidden() {
  if (!document.hidden || state.state === "done") return;
  const answer = await fetch(`${first.job.events_url.replace(/\/events$/, "")}?limit=0`).catch(() => null);
  if (answer?.ok) show(await answer.json());
  setTimeout(lookWhileHidden, HIDDEN_EVERY_MS);
}

document.addEventListener("visibilitychange", () => {
  if (document.hidden) {
    follower.stop();
    lookWhileHidden();
  } else {
    follower.start();
  }
});
byId("cards").addEventListener("drawn", () => {
  names.want(grid.present.filter((index) => !pictures[index].name), state.total);
});
byId("cards").addEventListener("click", (event) => {
  const again = event.target.closest("[data-retry]");
  const card = event.target.closest("li[data-index]");
  if (again) retry(Number(again.dataset.retry));
  else if (card && getSelection().isCollapsed) {
    showDetails(byId("details"), job, pictures[Number(card.dataset.index)], first.shows_early);
  }
});
byId("details").addEventListener("click", (event) => {
  if (event.target === event.currentTarget) event.currentTarget.close(); // beside the window
});
byId("find").addEventListener("input", async () => {
  arrangeSoon();
  if (byId("find").value) await names.want(pictures.map((one) => one.index), state.total);
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

for (const { index, name, outcome } of first.cards) Object.assign(pictureAt(index), { name, outcome });
byId("sent").textContent = new Date(state.created_at * 1000).toLocaleString([], { dateStyle: "medium", timeStyle: "short" });
show(state);
arrange();
follower.start();
document.documentElement.classList.add("ready"); // what needs this script can be used now
