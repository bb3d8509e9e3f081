// The names of pictures that wait: outcomes bring their names along, these are asked for.

const PAGE = 500;

export class Names {
  #job;
  #take;
  #asked = new Map();

  // `take(index, name)` is told each name.
  constructor(job, take) {
    this.#job = job;
    this.#take = take;
  }

  // Ask for the names around some places, `total` pictures being in the job by now.
  async want(indexes, total) {
    const pages = new Set(indexes.map((index) => Math.floor(index / PAGE)));
    for (const page of pages) await this.#fetch(page, total);
  }

  async #fetch(page, total) {
    const known = Math.min(total, (page + 1) * PAGE);
    if ((this.#asked.get(page) ?? 0) >= known) return;
    this.#asked.set(page, known);
    const query = `after=${page * PAGE - 1}&limit=${PAGE}&status=waiting`;
    try {
      const answer = await fetch(`/api/v1/jobs/${this.#job}?${query}`);
      if (!answer.ok) throw new Error(`status ${answer.status}`);
      for (const one of (await answer.json()).images) this.#take(one.index, one.name);
    } catch {
      this.#asked.delete(page); // whoever wants them next asks again
    }
  }
}
