// Filtering and sorting the images.

import { statusOf, waited_s } from "./card.js";

const names = new Intl.Collator("en", { numeric: true, sensitivity: "base" });
const NEVER = Number.POSITIVE_INFINITY;
const score = (image, otherwise) => image.outcome?.score ?? otherwise;
const wait = (image) => (image.outcome ? waited_s(image.outcome) : -1);
const label = (image) => image.outcome?.label;

function byLabel(one, other) {
  const [mine, yours] = [label(one), label(other)];
  if (mine && yours) return names.compare(mine, yours);
  return mine ? -1 : yours ? 1 : 0; // images without a label come last
}

const ORDERS = {
  index: null,
  name: (one, other) => names.compare(one.name, other.name),
  label: byLabel,
  surest: (one, other) => score(other, -1) - score(one, -1),
  doubtful: (one, other) => Math.min(score(one, NEVER), 2) - Math.min(score(other, NEVER), 2),
  slowest: (one, other) => wait(other) - wait(one),
};

export function matches(image, kind, text) {
  if (kind !== "all" && statusOf(image) !== kind) return false;
  if (!text) return true;
  const { outcome } = image;
  return [image.name, outcome?.label, outcome?.reason].some((one) => one?.toLowerCase().includes(text));
}

// Returns the sorted indexes of the matching images. `images` are in the order they were sent.
export function arranged(images, { kind, text, order }) {
  const found = images.filter((image) => image && matches(image, kind, text));
  const compare = ORDERS[order];
  if (compare) found.sort((one, other) => compare(one, other) || one.index - other.index);
  return found.map((image) => image.index);
}
