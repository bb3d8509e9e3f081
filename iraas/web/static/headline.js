// How far a job is, in words, as `iraas/web/pages/job_headline.py` says it, with who works on it.

import { count } from "./dom.js";

const number = (value) => value.toLocaleString("en");

export function headline(job) {
  if (job.state === "done") return `${job.cancelled ? "Cancelled" : "Done"}: ${found(job)}`;
  const left = job.total - job.done;
  if (job.state === "cancelled") {
    return `Cancelled: ${number(job.done)} of ${number(job.total)} done, ${number(left)} were already on their way`;
  }
  if (!job.total) return "Waiting for the first picture";
  const said = [`${number(job.done)} of ${number(job.total)}`];
  if (job.failed) said.push(`${number(job.failed)} failed`);
  if (job.state === "open") said.push("more are coming in");
  if (job.workers) said.push(count(job.workers, "worker"));
  if (job.workers_on_their_way) said.push(`${count(job.workers_on_their_way, "worker")} starting`);
  if (job.left_s) said.push(`about ${duration(job.left_s)} left`);
  return said.join(", ");
}

function found({ done, failed, is_counted }) {
  if (!done) return "no pictures";
  if (!is_counted) return `${number(done)} pictures`;
  const parts = [[done - failed, "labelled"], [failed, "failed"]];
  return parts.filter(([many]) => many).map(([many, what]) => `${number(many)} ${what}`).join(", ");
}

function duration(seconds) {
  if (seconds < 90) return `${seconds} s`;
  if (seconds < 5400) return `${Math.round(seconds / 60)} min`;
  return `${(seconds / 3600).toFixed(1)} h`;
}
