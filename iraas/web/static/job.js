// The results page: cards fill in as outcomes come, over one event stream.
"use strict";

const progress = document.getElementById("progress");
const bar = document.getElementById("bar");
const cards = document.getElementById("cards");
const filter = document.getElementById("filter");
const sort = document.getElementById("sort");
const job = progress.dataset.job;
const csrf = document.querySelector('meta[name="csrf-token"]')?.content ?? "";
const known = new Map();
let source = null;

const percent = (share) => `${(100 * share).toFixed(1)}%`;

function element(name, className, text) {
  const made = document.createElement(name);
  if (className) made.className = className;
  if (text !== undefined) made.textContent = text;
  return made;
}

function isolated(text) {
  return element("bdi", "", text);
}

function topList(outcome) {
  const top = element("ol", "top");
  for (const one of outcome.top) {
    const line = element("li");
    const name = element("span");
    name.append(isolated(one.label));
    const meter = element("meter");
    meter.max = 1;
    meter.value = one.score;
    meter.textContent = percent(one.score);
    line.append(name, meter, element("span", "score", percent(one.score)));
    top.append(line);
  }
  return top;
}

function retryButton(index, name) {
  const button = element("button", "second", "Try again");
  button.append(element("span", "hidden", ` ${name}`));
  button.dataset.retry = index;
  return button;
}

function fill(card, index, outcome) {
  const url = `/api/v1/jobs/${job}/images/${index}`;
  const image = element("img");
  image.alt = "";
  image.loading = "lazy";
  image.src = `${url}/thumbnail`;
  const title = element("h3");
  const link = element("a");
  link.href = url;
  link.download = "";
  link.append(isolated(outcome.name));
  title.append(link);
  card.className = `card ${outcome.status}`;
  const label = element("p", "label");
  if (outcome.status === "ok") {
    label.append(isolated(outcome.label));
    const seconds = (outcome.completed_at - outcome.submitted_at).toFixed(2);
    card.replaceChildren(image, title, label, topList(outcome), element("p", "time", `${seconds} s`));
  } else {
    label.textContent = "failed";
    label.classList.add("failed");
    const reason = element("p", "reason");
    reason.append(isolated(outcome.reason));
    card.replaceChildren(image, title, label, reason, retryButton(index, outcome.name));
  }
}

function cardOf(index) {
  let card = known.get(index);
  if (!card) {
    card = element("li", "card waiting");
    card.dataset.index = index;
    known.set(index, card);
    const next = [...cards.children].find((one) => Number(one.dataset.index) > index);
    cards.insertBefore(card, next ?? null);
  }
  return card;
}

function take(outcomes) {
  for (const outcome of outcomes) {
    const index = Number(outcome.request_id.split("-").pop());
    const card = cardOf(index);
    card.outcome = outcome;
    fill(card, index, outcome);
  }
  arrange();
}

function arrange() {
  for (const card of cards.children) {
    card.hidden = filter.value !== "all" && !card.classList.contains(filter.value);
  }
}

const ORDERS = {
  index: (card) => Number(card.dataset.index),
  name: (card) => card.querySelector("h3")?.textContent ?? "",
  label: (card) => card.querySelector(".label")?.textContent ?? "",
  score: (card) => -(card.querySelector("meter")?.value ?? 0),
};

function reorder() {
  const key = ORDERS[sort.value];
  const order = (one, other) => (key(one) < key(other) ? -1 : key(one) > key(other) ? 1 : 0);
  cards.append(...[...cards.children].sort(order));
}

function show(state) {
  bar.max = state.total || 1;
  bar.value = state.done;
  const said = [`${state.done} of ${state.total}`];
  if (state.failed) said.push(`${state.failed} failed`);
  if (state.state === "working" || state.state === "open") {
    const coming = state.workers_on_their_way;
    said.push(`${state.workers} workers${coming ? ` and ${coming} on their way` : ""}`);
    if (state.left_s) said.push(`about ${state.left_s} s left`);
  } else {
    said.push(state.state);
  }
  progress.textContent = said.join(", ");
  document.title = `${state.done} of ${state.total} – iraas`;
}

function seen() {
  const have = [...cards.children].filter((one) => !one.classList.contains("waiting"));
  const places = have.map((one) => Number(one.dataset.index)).sort((one, other) => one - other);
  const ranges = [];
  for (const place of places) {
    const last = ranges.at(-1);
    if (last && last[1] === place - 1) last[1] = place;
    else ranges.push([place, place]);
  }
  return ranges.map(([from, to]) => (from === to ? from : `${from}-${to}`)).join(",").slice(0, 2000);
}

function follow() {
  source?.close();
  source = new EventSource(`${progress.dataset.events}?seen=${encodeURIComponent(seen())}`);
  source.addEventListener("outcomes", (event) => take(JSON.parse(event.data)));
  source.addEventListener("progress", (event) => show(JSON.parse(event.data)));
  source.addEventListener("end", (event) => {
    show(JSON.parse(event.data));
    source.close();
  });
}

async function retry(index) {
  const query = index === undefined ? "" : `?index=${index}`;
  const url = `/api/v1/jobs/${job}/retry${query}`;
  const answer = await fetch(url, { method: "POST", headers: { "X-CSRF-Token": csrf } });
  if (!answer.ok) {
    progress.textContent = (await answer.json()).detail;
    return;
  }
  for (const card of cards.querySelectorAll(".card.failed")) {
    if (index !== undefined && Number(card.dataset.index) !== index) continue;
    card.className = "card waiting";
    card.querySelector(".label").textContent = "waiting";
  }
  follow();
}

for (const card of cards.children) known.set(Number(card.dataset.index), card);
filter.addEventListener("change", arrange);
sort.addEventListener("change", reorder);
cards.addEventListener("click", (event) => {
  const button = event.target.closest("[data-retry]");
  if (!button) return;
  event.preventDefault();
  retry(Number(button.dataset.retry));
});
document.getElementById("retry-all").addEventListener("click", (event) => {
  event.preventDefault();
  retry();
});
follow();
