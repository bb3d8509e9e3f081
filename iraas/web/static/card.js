// An image's card on the results page, and the dialog with its details.

import { bar, element, isolated, percent, seconds } from "./dom.js";

const ICON_WIDTH = 24; // of the placeholder for an image that is not available

const url = (job, index) => `/api/v1/jobs/${job}/images/${index}`;

export const waited_s = (outcome) => Math.max(0, outcome.completed_at - outcome.submitted_at);

export function statusOf(image) {
  return image.outcome?.status ?? "waiting";
}

// An image refused before it was queued is not stored and cannot be retried.
export const canRetry = (image) => statusOf(image) === "failed" && image.outcome.attempts > 0;

function thumbnail(job, image, hasEarlyThumbnails) {
  const status = statusOf(image);
  const blank = element("span", "blank");
  if (status === "failed" && !canRetry(image)) return noImage();
  if (image.hasNoThumbnail || (status === "waiting" && !hasEarlyThumbnails)) return blank;
  const img = element("img");
  img.alt = "";
  img.decoding = "async";
  img.width = img.height = 160;
  img.addEventListener("error", () => {
    image.hasNoThumbnail = status !== "waiting";
    img.replaceWith(blank);
  });
  // Browsers cache by address: a request before the outcome needs an address of its own.
  img.src = `${url(job, image.index)}/thumbnail?otherwise=icon${status === "waiting" ? "&early" : ""}`;
  return img;
}

function noImage() {
  const img = element("img", "no-image");
  img.alt = "";
  img.src = "/static/no-image.svg";
  return img;
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

function results(image) {
  const { outcome } = image;
  if (!outcome) return [element("p", "label", "waiting")];
  if (outcome.status === "ok") {
    return [
      element("p", "label", isolated(outcome.label)),
      topList(outcome),
      element("p", "time", `answered in ${seconds(waited_s(outcome))}`),
    ];
  }
  return [
    element("p", "label", canRetry(image) ? "failed" : "refused"),
    element("p", "reason", isolated(outcome.reason)),
  ];
}

function retryButton(image) {
  const button = element("button", "second", "Try again");
  button.type = "button";
  button.append(element("span", "hidden", " ", isolated(image.name)));
  button.dataset.retry = image.index;
  return button;
}

export function fillCard(card, job, image, hasEarlyThumbnails) {
  const status = statusOf(image);
  card.className = `card ${status}`;
  const name = isolated(image.name || `image ${image.index + 1}`);
  const open = element("button", "open", name);
  open.type = "button";
  open.setAttribute("aria-haspopup", "dialog");
  const body = element("div", "body", element("h3", "", open), ...results(image));
  if (canRetry(image)) body.append(retryButton(image));
  // Keep a loaded thumbnail, so that nothing flickers when the outcome arrives.
  const old = card.querySelector("img");
  const kept = status === "ok" && old?.complete && old.naturalWidth > 0 && old.naturalWidth !== ICON_WIDTH ? old : null;
  card.replaceChildren(kept ?? thumbnail(job, image, hasEarlyThumbnails), body);
}

function facts(image) {
  const { outcome } = image;
  const pairs = [["Number", `${image.index + 1}`]];
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

export function showDetails(dialog, job, image, hasEarlyThumbnails) {
  const title = element("h2", "", isolated(image.name));
  title.id = "details-title";
  const close = element("button", "second", "Close");
  close.autofocus = true;
  const actions = element("form", "actions", close);
  actions.method = "dialog";
  if (image.outcome?.attempts) {
    const original = element("a", "button second", "Download the image");
    original.href = url(job, image.index);
    original.download = "";
    actions.prepend(original);
  }
  const text = element("div", "body", title, ...results(image), facts(image), actions);
  dialog.replaceChildren(thumbnail(job, image, hasEarlyThumbnails), text);
  dialog.showModal();
}
