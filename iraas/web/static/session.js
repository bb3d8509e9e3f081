// The session of this browser: says when it is over, and goes on with a new one, whichever tab
// somebody logged in with. What was chosen or is shown on a page stays there meanwhile.

import { csrf, element } from "./dom.js";

const channel = new BroadcastChannel("iraas-session");
let notice = null;

// The server said so to a request.
export function sayOver() {
  if (notice) return;
  const link = element("a", "", "Log in");
  link.href = `/login?next=${encodeURIComponent(location.pathname + location.search)}`;
  link.target = "_blank";
  notice = element("p", "notice", "Your session is over. ", link, " in a new tab; this page goes on by itself then.");
  notice.id = "session-over";
  notice.setAttribute("role", "alert");
  document.getElementById("main").prepend(notice);
}

// Get the CSRF token of the session that there is now. False if there is none, null if nobody can
// tell. Those who listen to the document's "session" are told of one that came after one was over.
export async function renew() {
  let page;
  try {
    const answer = await fetch("/");
    if (answer.status === 401) {
      sayOver();
      return false;
    }
    if (!answer.ok) return null;
    page = new DOMParser().parseFromString(await answer.text(), "text/html");
  } catch {
    return null;
  }
  take(page.querySelector('meta[name="csrf-token"]')?.content ?? "");
  if (notice) {
    notice.remove();
    notice = null;
    document.dispatchEvent(new Event("session"));
  }
  return true;
}

// Like fetch(), for what changes something: with the CSRF token, a fresh one if it must be.
export async function ask(url, method) {
  const send = () => fetch(url, { method, headers: { "X-CSRF-Token": csrf() } });
  let answer = await send();
  if (answer.status === 403 && (await renew())) answer = await send();
  if (answer.status === 401) sayOver();
  return answer;
}

function take(token) {
  let meta = document.querySelector('meta[name="csrf-token"]');
  if (!meta) {
    meta = element("meta");
    meta.name = "csrf-token";
    document.head.append(meta);
  }
  meta.content = token;
  for (const field of document.querySelectorAll('input[name="csrf"]')) field.value = token;
}

const lookAgain = () => notice && !document.hidden && renew();
channel.addEventListener("message", () => notice && renew());
addEventListener("focus", lookAgain);
document.addEventListener("visibilitychange", lookAgain);
if (csrf()) channel.postMessage("there is a session");
