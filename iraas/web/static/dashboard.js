// The dashboard: its dynamic parts are fetched when the deployment's status changes, and periodically.
// Only parts that differ are replaced, so that focus, selection and scrolling are kept.

import { recentJobs } from "./recent.js";
import { renew, showSessionOver } from "./session.js";

const MIN_REFRESH_MS = 1500;
const REFRESH_MS = 5000;
const MINUTE_S = 60;
const HOUR_S = 3600;
const DAY_S = 86_400;

const live = document.getElementById("live");
const connection = document.getElementById("connection");
let fetchedAt = 0;
let timer = 0;

function ago(seconds) {
  if (seconds < 2) return "just now";
  if (seconds < MINUTE_S) return `${Math.floor(seconds)} s ago`;
  if (seconds < HOUR_S) return `${Math.floor(seconds / MINUTE_S)} min ago`;
  if (seconds < DAY_S) return `${Math.floor(seconds / HOUR_S)} h ago`;
  return `${Math.floor(seconds / DAY_S)} d ago`;
}

// The server renders times in UTC; the reader's clock and time zone are known here.
function formatTimes(root) {
  for (const time of root.querySelectorAll("time")) {
    const at = new Date(time.dateTime);
    time.textContent = ago((Date.now() - at) / 1000);
    time.title = at.toLocaleString();
  }
  for (const mark of root.querySelectorAll("[data-at]")) {
    const at = new Date(Number(mark.dataset.at) * 1000);
    mark.textContent = at.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
  }
}

// Jobs are rendered without their addresses; those known to this browser get links.
function linkJobs(root) {
  const known = new Map(recentJobs().map((one) => [one.id.slice(-4), one.id]));
  for (const row of root.querySelectorAll("[data-ending]")) {
    const id = known.get(row.dataset.ending);
    if (!id) continue;
    const link = document.createElement("a");
    link.href = `/jobs/${id}`;
    link.textContent = row.firstElementChild.textContent;
    row.firstElementChild.replaceChildren(link);
  }
}

function finish(root) {
  formatTimes(root);
  linkJobs(root);
}

async function refresh() {
  timer = 0;
  if (document.hidden || isOver) return;
  fetchedAt = performance.now();
  try {
    const response = await fetch(`/dashboard/live?span=${live.dataset.span}`);
    if (response.status === 401) end();
    if (!response.ok) return;
    const fresh = new DOMParser().parseFromString(await response.text(), "text/html");
    finish(fresh);
    for (const part of live.querySelectorAll("[data-live]")) {
      const next = fresh.getElementById(part.id);
      if (next && next.innerHTML !== part.innerHTML) {
        part.className = next.className;
        part.replaceChildren(...document.importNode(next, true).childNodes);
      }
    }
  } catch {
    // The server cannot be reached; the stream's reconnection triggers the next refresh.
  }
}

function refreshSoon() {
  timer ||= setTimeout(refresh, Math.max(0, MIN_REFRESH_MS - (performance.now() - fetchedAt)));
}

let stream = null;
let isOver = false;

function end() {
  isOver = true;
  stream?.close();
  connection.textContent = "your session has expired";
  connection.className = "soft is-away";
  showSessionOver();
}

function follow() {
  stream?.close();
  stream = null;
  if (document.hidden || isOver) return;
  const source = new EventSource("/api/v1/status/events");
  stream = source;
  source.addEventListener("open", () => {
    connection.textContent = "live";
    connection.className = "soft";
  });
  source.addEventListener("status", refreshSoon);
  source.addEventListener("error", async () => {
    if (source !== stream) return;
    connection.textContent = "connection lost, trying again";
    connection.className = "soft is-away";
    if (source.readyState !== EventSource.CLOSED) return;
    if ((await renew()) === false) end();
    else setTimeout(follow, 5000);
  });
}

document.addEventListener("visibilitychange", follow);
document.addEventListener("session", () => {
  isOver = false;
  follow();
  refreshSoon();
});
setInterval(refreshSoon, REFRESH_MS);
finish(live);
follow();
document.documentElement.classList.add("ready"); // what needs this script can be used now
