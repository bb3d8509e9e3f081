// The dashboard: its changing part is fetched anew every few seconds, while somebody looks.
"use strict";

const EVERY_MS = 5000;
const live = document.getElementById("live");

async function refresh() {
  if (document.hidden) return;
  try {
    const answer = await fetch(`/dashboard/live?span=${live.dataset.span}`);
    if (answer.ok) live.innerHTML = await answer.text();
  } catch {
    // The server is away; the next round asks again.
  }
}

setInterval(refresh, EVERY_MS);
document.addEventListener("visibilitychange", refresh);
