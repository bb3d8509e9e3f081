// Describes a job's progress, as `headline` in `iraas/web/pages/pages.py` does, and the workers on it.

import { count } from "./dom.js";

const number = (value) => value.toLocaleString("en");

export function headline(job) {
  if (job.state === "done") return `${job.cancelled ? "Cancelled" : "Done"}: ${found(job)}`;
  const left = job.total - job.done;
  if (job.state === "cancelled") {
    return `Cancelled: ${number(job.done)} of ${number(job.total)} done, ${number(left)} were already queued`;
  }
  if (!job.total) return "Waiting for the first image";
  const parts = [`${number(job.done)} of ${number(job.total)}`];
  if (job.failed) parts.push(`${number(job.failed)} failed`);
  if (job.state === "open") parts.push("upload in progress");
  if (job.workers) parts.push(count(job.workers, "worker"));
  if (job.workers_on_their_way) parts.push(`${count(job.workers_on_their_way, "worker")} starting`);
  if (job.left_s) parts.push(`about ${duration(job.left_s)} left`);
  return parts.join(", ");
}

function found({ done, failed, is_counted }) {
  if (!done) return "no images";
  if (!is_counted) return `${number(done)} images`;
  const counts = [[done - failed, "labelled"], [failed, "failed"]];
  return counts.filter(([many]) => many).map(([many, result]) => `${number(many)} ${result}`).join(", ");
}

function duration(seconds) {
  if (seconds < 90) return `${seconds} s`;
  if (seconds < 5400) return `${Math.round(seconds / 60)} min`;
  return `${(seconds / 3600).toFixed(1)} h`;
}
