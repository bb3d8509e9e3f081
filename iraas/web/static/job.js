// The results page: cards fill in as outcomes come.

import { canRetry, fillCard, showDetails, statusOf } from "./card.js";
import { Announcer, count, csrf } from "./dom.js";
import { Follower, ranges } from "./follow.js";
import { CardGrid } from "./grid.js";
import { Names } from "./names.js";
import { arranged } from "./order.js";
import { rememberJob } from "./recent.js";

const ARRANGE_EVERY_MS = 250;
const HIDDEN_EVERY_MS = 15_000;

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
  byId("nothing").textContent = state.total ? "No picture is like that." : emptyText();
  tally();
}

function emptyText() {
  return state.state === "open" ? "No picture has arrived yet." : "This job has no pictures.";
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
  }
  byId("retry-all").hidden = retriable === 0;
}

function headline() {
  const said = [`${state.done.toLocaleString("en")} of ${state.total.toLocaleString("en")}`];
  if (state.failed) said.push(`${state.failed.toLocaleString("en")} failed`);
  if (state.state === "done" || state.state === "cancelled") return [...said, state.state];
  if (state.state === "open") said.push("more are coming in");
  if (state.workers) said.push(count(state.workers, "worker"));
  if (state.workers_on_their_way) said.push(`${count(state.workers_on_their_way, "worker")} starting`);
  if (state.left_s) said.push(`about ${duration(state.left_s)} left`);
  return said;
}

function duration(seconds) {
  if (seconds < 90) return `${seconds} s`;
  if (seconds < 5400) return `${Math.round(seconds / 60)} min`;
  return `${(seconds / 3600).toFixed(1)} h`;
}

function show(next) {
  const hasGrown = next.total !== state.total;
  state = { ...state, ...next };
  const isOver = state.state === "done" || state.state === "cancelled";
  const text = headline().join(", ");
  byId("progress").textContent = text;
  byId("progress").dataset.state = state.state;
  byId("bar").max = state.total || 1;
  byId("bar").value = state.done;
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
    const answer = await fetch(`/api/v1/jobs/${job}/retry${query}`, {
      method: "POST",
      headers: { "X-CSRF-Token": csrf() },
    });
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

async function copyLink() {
  const address = location.origin + location.pathname;
  const button = byId("copy");
  try {
    await navigator.clipboard.writeText(address);
    button.textContent = "Copied";
    announcer.say("The link is copied.", true);
    setTimeout(() => (button.textContent = "Copy link"), 2000);
  } catch {
    prompt("The link to this page:", address); // no clipboard without https, save on this machine
  }
}

// A stream takes one of the few connections that a browser has to a server: not for a page that
// nobody sees.
async function lookWhileHidden() {
  if (!document.hidden || state.state === "done" || state.state === "cancelled") return;
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

for (const { index, name, outcome } of first.cards) Object.assign(pictureAt(index), { name, outcome });
byId("sent").textContent = new Date(state.created_at * 1000).toLocaleString();
show(state);
arrange();
follower.start();
