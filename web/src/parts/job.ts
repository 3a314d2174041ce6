// What a job is called, and how far it is.

import type { Device, Job, JobItem } from "../engine.gen";
import { count, span } from "../format";
import { state } from "../state";

export const live = (job: Job): boolean => job.state === "running" || job.state === "waiting";

/** Its own board tells of each device. */
export const hasBoard = (job: Job): boolean => job.kind === "firmware" || job.kind === "settings";

export function groupTitle(name: string): string {
  return state.groups.get(name)?.title || name || "the group";
}

export function deviceName(id: string): string {
  return state.devices.get(id)?.name || id;
}

/** What devices are called together: lamps, as soon as they are known to be lamps. */
export function lamps(devices: (Device | undefined)[], n = devices.length): string {
  const all = devices.length > 0 && devices.every((device) => device?.model.startsWith("lamp"));
  return count(n, all ? "lamp" : "device");
}

const verbs: Record<string, [now: string, past: string]> = {
  join: ["Joining", "Joined"],
  claim: ["Claiming", "Claimed"],
  leave: ["Leaving", "Left"],
  release: ["Releasing", "Released"],
  renew: ["Renewing", "Renewed"],
  check: ["Asking", "Asked"],
  firmware: ["Updating", "Updated"],
  settings: ["Changing the settings of", "Changed the settings of"],
  "emergency-function": ["Function test of", "Function test of"],
  "emergency-duration": ["Duration test of", "Duration test of"],
  commissioners: ["Telling who may manage", "Told who may manage"],
};

/** "Joining Hall ceiling", "Released 2 devices". */
export function jobTitle(job: Job): string {
  const [now, past] = verbs[job.kind] ?? [job.kind, job.kind];
  const verb = live(job) ? now : job.state === "done" || job.state === "partial" ? past : now;
  return verb + " " + (job.group ? groupTitle(job.group) : count(job.total, "device"));
}

/** "17 of 24 · 9 s left" */
export function jobProgress(job: Job): string {
  const progress = `${job.done} of ${job.total}`;
  const spent = Date.now() - job.started;
  if (job.state !== "running" || hasBoard(job) || job.done < 2 || spent < 1500) {
    return progress;
  }
  const left = job.total - job.done - job.failed;
  return left > 0 ? `${progress} · ${span((spent / (job.done + job.failed)) * left)} left` : progress;
}

export const failures = (job: Job): JobItem[] => (job.items ?? []).filter((item) => item.state === "failed");

/** Jobs, the newest first. */
export function jobs(): Job[] {
  return [...state.jobs.values()].sort((a, b) => b.started - a.started);
}
