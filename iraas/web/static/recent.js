// The jobs that this browser has sent or looked at, kept in this browser and nowhere else: whoever
// knows a job's address may see its pictures.

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
    // Storage is switched off or full: the page's address is still there to be kept.
  }
}
