// A picture's card on the results page, and the window with all that is known of it.

import { bar, element, isolated, percent, seconds } from "./dom.js";

const ICON_WIDTH = 24; // of what stands for a picture that is not to be had, or not yet

const url = (job, index) => `/api/v1/jobs/${job}/images/${index}`;

export const waited_s = (outcome) => Math.max(0, outcome.completed_at - outcome.submitted_at);

export function statusOf(picture) {
  return picture.outcome?.status ?? "waiting";
}

// Refused before it was sent: nothing is stored that could be tried again.
export const canRetry = (picture) => statusOf(picture) === "failed" && picture.outcome.attempts > 0;

function shot(job, picture, showsEarly) {
  const status = statusOf(picture);
  const blank = element("span", "blank");
  if (status === "failed" && !canRetry(picture)) return noPicture();
  if (picture.hasNoShot || (status === "waiting" && !showsEarly)) return blank;
  const image = element("img");
  image.alt = "";
  image.decoding = "async";
  image.width = image.height = 160;
  image.addEventListener("error", () => {
    picture.hasNoShot = status !== "waiting";
    image.replaceWith(blank);
  });
  // Browsers reuse what an address gave: one that is asked too early must not be asked again.
  image.src = `${url(job, picture.index)}/thumbnail?otherwise=icon${status === "waiting" ? "&early" : ""}`;
  return image;
}

function noPicture() {
  const image = element("img", "no-picture");
  image.alt = "";
  image.src = "/static/no-picture.svg";
  return image;
}

function topList(outcome) {
  const lines = outcome.top.map(({ label, score }) => {
    const name = element("span", "name", isolated(label));
    return element("li", "", name, bar(score), element("span", "score", percent(score)));
  });
  const list = element("ol", "top", ...lines);
  list.setAttribute("role", "list");
  return list;
}

function said(picture) {
  const { outcome } = picture;
  if (!outcome) return [element("p", "label", "waiting")];
  if (outcome.status === "ok") {
    return [
      element("p", "label", isolated(outcome.label)),
      topList(outcome),
      element("p", "time", `answered in ${seconds(waited_s(outcome))}`),
    ];
  }
  return [
    element("p", "label", canRetry(picture) ? "failed" : "refused"),
    element("p", "reason", isolated(outcome.reason)),
  ];
}

function retryButton(picture) {
  const button = element("button", "second", "Try again");
  button.type = "button";
  button.append(element("span", "hidden", " ", isolated(picture.name)));
  button.dataset.retry = picture.index;
  return button;
}

export function fillCard(card, job, picture, showsEarly) {
  const status = statusOf(picture);
  card.className = `card ${status}`;
  const name = isolated(picture.name || `picture ${picture.index + 1}`);
  const open = element("button", "open", name);
  open.type = "button";
  open.setAttribute("aria-haspopup", "dialog");
  const body = element("div", "body", element("h3", "", open), ...said(picture));
  if (canRetry(picture)) body.append(retryButton(picture));
  // A shot that was there already stays: nothing flickers when the outcome comes.
  const old = card.querySelector("img");
  const kept = status === "ok" && old?.complete && old.naturalWidth > 0 && old.naturalWidth !== ICON_WIDTH ? old : null;
  card.replaceChildren(kept ?? shot(job, picture, showsEarly), body);
}

function facts(picture) {
  const { outcome } = picture;
  const pairs = [["Place", `${picture.index + 1}`]];
  if (outcome) {
    pairs.push(["Model", outcome.model ?? "none"], ["Worker", outcome.worker ?? "none"]);
    pairs.push(["Deliveries", `${outcome.attempts}`]);
    pairs.push(["Answered", new Date(outcome.completed_at * 1000).toLocaleString()]);
  }
  const lines = pairs.map(([term, text]) => {
    return element("div", "", element("dt", "", term), element("dd", "", isolated(text)));
  });
  return element("details", "facts", element("summary", "", "Details"), element("dl", "", ...lines));
}

export function showDetails(dialog, job, picture, showsEarly) {
  const title = element("h2", "", isolated(picture.name));
  title.id = "details-title";
  const close = element("button", "second", "Close");
  close.autofocus = true;
  const actions = element("form", "actions", close);
  actions.method = "dialog";
  if (picture.outcome?.attempts) {
    const original = element("a", "button second", "Download the picture");
    original.href = url(job, picture.index);
    original.download = "";
    actions.prepend(original);
  }
  const text = element("div", "body", title, ...said(picture), facts(picture), actions);
  dialog.replaceChildren(shot(job, picture, showsEarly), text);
  dialog.showModal();
}
