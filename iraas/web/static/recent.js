// Recent jobs of this browser, stored in this browser only: a job's address gives access to its
// images.

const KEY = "iraas-jobs";
const MOST = 5;
const ID = /^[0-9a-z]{26}$/;

export function recentJobs() {
  try {
    const jobs = JSON.parse(localStorage.getItem(KEY) ?? "[]");
    return jobs.filter((one) => ID.test(one.id) && Number.isFinite(one.at)).slice(0, MOST);
  } catch {
    return [];
  }
}

export function rememberJob(id, at, total) {
  const others = recentJobs().filter((one) => one.id !== id);
  keep([{ id, at, total }, ...others].slice(0, MOST));
}

export const forgetJobs = () => keep([]);

function keep(jobs) {
  try {
    localStorage.setItem(KEY, JSON.stringify(jobs));
  } catch {
    // Storage is disabled or full: the page's address still works.
  }
}
