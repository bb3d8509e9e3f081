// Which pictures are shown, and in which order.

import { statusOf, waited_s } from "./card.js";

const names = new Intl.Collator("en", { numeric: true, sensitivity: "base" });
const NEVER = Number.POSITIVE_INFINITY;
const score = (picture, otherwise) => picture.outcome?.score ?? otherwise;
const wait = (picture) => (picture.outcome ? waited_s(picture.outcome) : -1);
const label = (picture) => picture.outcome?.label;

function byLabel(one, other) {
  const [mine, yours] = [label(one), label(other)];
  if (mine && yours) return names.compare(mine, yours);
  return mine ? -1 : yours ? 1 : 0; // those without a label come last
}

const ORDERS = {
  index: null,
  name: (one, other) => names.compare(one.name, other.name),
  label: byLabel,
  surest: (one, other) => score(other, -1) - score(one, -1),
  doubtful: (one, other) => Math.min(score(one, NEVER), 2) - Math.min(score(other, NEVER), 2),
  slowest: (one, other) => wait(other) - wait(one),
};

export function matches(picture, kind, text) {
  if (kind !== "all" && statusOf(picture) !== kind) return false;
  if (!text) return true;
  const { outcome } = picture;
  return [picture.name, outcome?.label, outcome?.reason].some((one) => one?.toLowerCase().includes(text));
}

// The places of the pictures that match, in order. `pictures` lie in the order they were sent.
export function arranged(pictures, { kind, text, order }) {
  const found = pictures.filter((one) => one && matches(one, kind, text));
  const compare = ORDERS[order];
  if (compare) found.sort((one, other) => compare(one, other) || one.index - other.index);
  return found.map((one) => one.index);
}
