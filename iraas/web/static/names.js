// The names of waiting images: outcomes include their names, the others are requested.

const PAGE = 500;

export class Names {
  #job;
  #onName;
  #requested = new Map();

  // `onName(index, name)` is called for each name.
  constructor(job, onName) {
    this.#job = job;
    this.#onName = onName;
  }

  // Request the pages with the names of these indexes; the job has `total` images by now.
  async request(indexes, total) {
    const pages = new Set(indexes.map((index) => Math.floor(index / PAGE)));
    for (const page of pages) await this.#fetch(page, total);
  }

  async #fetch(page, total) {
    const known = Math.min(total, (page + 1) * PAGE);
    if ((this.#requested.get(page) ?? 0) >= known) return;
    this.#requested.set(page, known);
    const query = `after=${page * PAGE - 1}&limit=${PAGE}&status=waiting`;
    try {
      const response = await fetch(`/api/v1/jobs/${this.#job}?${query}`);
      if (!response.ok) throw new Error(`status ${response.status}`);
      for (const one of (await response.json()).images) this.#onName(one.index, one.name);
    } catch {
      this.#requested.delete(page); // requested again when needed
    }
  }
}
