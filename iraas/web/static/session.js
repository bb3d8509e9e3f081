// The session of this browser: reports that it has expired, and continues with a new one after a login
// in any tab. The page keeps its content meanwhile.

import { csrf, element } from "./dom.js";

const channel = new BroadcastChannel("iraas-session");
let notice = null;

// Called when the server answered a request with 401.
export function showSessionOver() {
  if (notice) return;
  const link = element("a", "", "Log in");
  link.href = `/login?next=${encodeURIComponent(location.pathname + location.search)}`;
  link.target = "_blank";
  notice = element("p", "notice", "Your session has expired. ", link, " in a new tab; this page then continues automatically.");
  notice.id = "session-over";
  notice.setAttribute("role", "alert");
  document.getElementById("main").prepend(notice);
}

// Get the CSRF token of the current session. Returns false without a session, null if the server cannot
// be reached. Dispatches "session" on the document when a new session replaces an expired one.
export async function renew() {
  let page;
  try {
    const response = await fetch("/");
    if (response.status === 401) {
      showSessionOver();
      return false;
    }
    if (!response.ok) return null;
    page = new DOMParser().parseFromString(await response.text(), "text/html");
  } catch {
    return null;
  }
  setToken(page.querySelector('meta[name="csrf-token"]')?.content ?? "");
  if (notice) {
    notice.remove();
    notice = null;
    document.dispatchEvent(new Event("session"));
  }
  return true;
}

// fetch() with the CSRF token, renewed if necessary.
export async function fetchWithToken(url, method) {
  const send = () => fetch(url, { method, headers: { "X-CSRF-Token": csrf() } });
  let response = await send();
  if (response.status === 403 && (await renew())) response = await send();
  if (response.status === 401) showSessionOver();
  return response;
}

function setToken(token) {
  let meta = document.querySelector('meta[name="csrf-token"]');
  if (!meta) {
    meta = element("meta");
    meta.name = "csrf-token";
    document.head.append(meta);
  }
  meta.content = token;
  for (const field of document.querySelectorAll('input[name="csrf"]')) field.value = token;
}

const checkAgain = () => notice && !document.hidden && renew();
channel.addEventListener("message", () => notice && renew());
addEventListener("focus", checkAgain);
document.addEventListener("visibilitychange", checkAgain);
if (csrf()) channel.postMessage("there is a session");
