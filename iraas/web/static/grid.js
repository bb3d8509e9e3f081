// A virtual grid of cards of equal height: only cards near the viewport exist, so that ten thousand
// images cost no more than fifty. Few cards all exist, so that the browser's own search finds them.

const MAX_COMPLETE = 60;
const ROWS_AHEAD = 4;

export class CardGrid {
  #list;
  #fill;
  #keys = [];
  #cards = new Map();
  #stale = new Set();
  #frame = 0;
  #columns = 1;
  #rowHeight = 1;

  // `fill(card, key)` renders a card's content, into an empty card and again after a change.
  constructor(list, fill, className) {
    this.#list = list;
    this.#fill = fill;
    this.className = className;
    const redraw = () => this.#schedule();
    addEventListener("scroll", redraw, { passive: true });
    new ResizeObserver(() => {
      this.#measure();
      this.#schedule();
    }).observe(list);
    this.#measure();
  }

  // Show the cards of these keys, in this order.
  show(keys) {
    this.#keys = keys;
    this.#schedule();
  }

  // Render a card again because its content has changed.
  touch(key) {
    if (this.#cards.has(key)) {
      this.#stale.add(key);
      this.#schedule();
    }
  }

  // The keys of the existing cards.
  get present() {
    return [...this.#cards.keys()];
  }

  #measure() {
    const style = getComputedStyle(this.#list);
    this.#columns = style.gridTemplateColumns.split(" ").length;
    this.#rowHeight = (parseFloat(style.gridAutoRows) || 300) + (parseFloat(style.rowGap) || 0);
  }

  #schedule() {
    this.#frame ||= requestAnimationFrame(() => {
      this.#frame = 0;
      this.#draw();
    });
  }

  #window() {
    const length = this.#keys.length;
    if (length <= MAX_COMPLETE) return [0, length];
    const rows = Math.ceil(length / this.#columns);
    const above = -this.#list.getBoundingClientRect().top;
    const bound = (row) => Math.max(0, Math.min(rows, row));
    const first = bound(Math.floor(above / this.#rowHeight) - ROWS_AHEAD);
    const last = bound(Math.ceil((above + innerHeight) / this.#rowHeight) + ROWS_AHEAD);
    this.#list.style.paddingTop = `${first * this.#rowHeight}px`;
    this.#list.style.paddingBottom = `${(rows - last) * this.#rowHeight}px`;
    return [first * this.#columns, Math.min(length, last * this.#columns)];
  }

  #draw() {
    const list = this.#list;
    const focused = list.contains(document.activeElement) ? document.activeElement : null;
    const [from, to] = this.#window();
    const isPartial = to - from < this.#keys.length;
    if (!isPartial) list.style.paddingTop = list.style.paddingBottom = "";
    const wanted = this.#keys.slice(from, to);
    const keep = new Set(wanted);
    for (const [key, card] of this.#cards) {
      if (!keep.has(key)) {
        card.remove();
        this.#cards.delete(key);
      }
    }
    wanted.forEach((key, position) => {
      const card = this.#card(key);
      if (list.children[position] !== card) list.insertBefore(card, list.children[position] ?? null);
      if (isPartial) {
        card.setAttribute("aria-setsize", this.#keys.length);
        card.setAttribute("aria-posinset", from + position + 1);
      }
    });
    this.#stale.clear();
    while (list.children.length > wanted.length) list.lastChild.remove();
    // Moving an element drops its focus.
    if (focused?.isConnected && document.activeElement !== focused) {
      focused.focus({ preventScroll: true });
    }
    list.dispatchEvent(new CustomEvent("drawn"));
  }

  #card(key) {
    let card = this.#cards.get(key);
    if (card && !this.#stale.has(key)) return card;
    if (!card) {
      card = document.createElement("li");
      card.dataset.index = key;
      card.className = this.className;
      this.#cards.set(key, card);
    }
    const hadFocus = card.contains(document.activeElement);
    this.#fill(card, key);
    if (hadFocus && !card.contains(document.activeElement)) card.querySelector("button")?.focus();
    return card;
  }
}
