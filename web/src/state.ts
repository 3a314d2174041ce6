// What the page knows: the engine's last word on everything, kept current by
// its events. Views read it and are told when it changed; nothing else writes.

import type { Answer, Device, Entry, Event, Group, GroupAsk, Job, Link, Rollout, SettingsRun, Site, Snapshot } from "./engine.gen";
import { byName } from "./format";

/** Where the page stands with its engine. */
export type Phase =
  | "starting"
  | "ready"
  | "insecure" // no secure context
  | "unsupported" // the browser is too old
  | "held" // another tab has the engine
  | "lost" // another tab took it
  | "stopped";

const maxLog = 500;

/** Drawing may take this part of the time, so that the engine gets the rest. */
const share = 0.25;

class State {
  phase: Phase = "starting";
  reason = ""; // of "stopped"
  site: Site = { name: "", credential: "", backedUp: false, installer: "", rights: { create: false, people: false }, commissioners: [] };
  link: Link = { up: false, rtt: 0, reason: "", revoked: false };
  devices = new Map<string, Device>();
  groups = new Map<string, Group>();
  jobs = new Map<string, Job>();
  /** by their jobs */
  rollouts = new Map<string, Rollout>();
  /** changes of settings, by their jobs */
  runs = new Map<string, SettingsRun>();
  /** how far a plan for firmware is, by its group */
  planning = new Map<string, GroupAsk>();
  log: Entry[] = [];
  version = "";
  /** is told of each job that changes, and how it was before */
  onJob: ((job: Job, before: Job | undefined) => void) | undefined;
  #watchers = new Set<() => void>();
  #scheduled = false;
  #next = 0; // when to draw again at the earliest
  #ordered: string[] | undefined; // ids of devices by name

  get ready(): boolean {
    return this.phase === "ready";
  }

  /** An invitation was accepted or a backup restored. */
  get hasSite(): boolean {
    return this.site.name !== "";
  }

  /** Calls watcher after changes, at most once a frame; returns what ends that. */
  watch(watcher: () => void): () => void {
    this.#watchers.add(watcher);
    return () => this.#watchers.delete(watcher);
  }

  enter(phase: Phase, reason = ""): void {
    this.phase = phase;
    this.reason = reason;
    this.changed();
  }

  /** All devices, by name. */
  get sorted(): Device[] {
    this.#ordered ??= [...this.devices.values()].sort((a, b) => byName(a.name || a.id, b.name || b.id)).map((device) => device.id);
    return this.#ordered.map((id) => this.devices.get(id)!);
  }

  /** Tells the watchers before the next frame, or later if drawing is slow here. */
  changed(): void {
    if (this.#scheduled) {
      return;
    }
    this.#scheduled = true;
    const wait = this.#next - performance.now();
    if (document.hidden) {
      setTimeout(() => this.#tell(), Math.max(100, wait)); // a hidden page has no frames
    } else if (wait > 0) {
      setTimeout(() => requestAnimationFrame(() => this.#tell()), wait);
    } else {
      requestAnimationFrame(() => this.#tell());
    }
  }

  #tell(): void {
    this.#scheduled = false;
    const began = performance.now();
    this.#watchers.forEach((watcher) => watcher());
    // Views draw in microtasks, the browser lays out and paints after them.
    setTimeout(() => (this.#next = performance.now() + (performance.now() - began) * (1 / share - 1)));
  }

  apply(event: Event): void {
    switch (event.type) {
      case "snapshot":
        this.#replace(event.snapshot);
        break;
      case "site":
        this.site = event.site;
        break;
      case "link":
        this.link = event.link;
        break;
      case "device":
        this.#device(event.device);
        break;
      case "removed":
        this.devices.delete(event.removed);
        this.#ordered = undefined;
        break;
      case "group":
        this.groups.set(event.group.name, event.group);
        break;
      case "job":
        this.onJob?.(event.job, this.jobs.get(event.job.id));
        this.jobs.set(event.job.id, event.job);
        break;
      case "rollout":
        this.rollouts.set(event.rollout.job, event.rollout);
        break;
      case "planning":
        this.planning.set(event.planning.group, event.planning);
        break;
      case "settings":
        this.runs.set(event.settings.job, event.settings);
        break;
      case "log":
        this.log = [event.log, ...this.log].slice(0, maxLog);
        break;
      case "answer":
        this.#answer(event.answer.group, event.answer.answer);
        break;
      case "rollcall":
        this.#group(event.rollcall.group, (group) => ({ ...group, rollCall: event.rollcall }));
        break;
    }
    this.changed();
  }

  #device(device: Device): void {
    if (this.devices.get(device.id)?.name !== device.name) {
      this.#ordered = undefined;
    }
    this.devices.set(device.id, device);
  }

  #replace(snapshot: Snapshot): void {
    this.#ordered = undefined;
    this.site = snapshot.site;
    this.link = snapshot.link;
    this.devices = new Map((snapshot.devices ?? []).map((device) => [device.id, device]));
    this.groups = new Map((snapshot.groups ?? []).map((group) => [group.name, group]));
    this.jobs = new Map((snapshot.jobs ?? []).map((job) => [job.id, job]));
    this.rollouts = new Map((snapshot.rollouts ?? []).map((rollout) => [rollout.job, rollout]));
    this.runs = new Map((snapshot.settings ?? []).map((run) => [run.job, run]));
    this.log = snapshot.log ?? [];
    this.version = snapshot.version;
    if (this.phase === "starting" || this.phase === "held") {
      this.phase = "ready";
    }
  }

  #group(name: string, change: (group: Group) => Group): void {
    const group = this.groups.get(name);
    if (group) {
      this.groups.set(name, change(group));
    }
  }

  /** One answer of a running roll call; the counts follow from the answers. */
  #answer(name: string, answer: Answer): void {
    this.#group(name, (group) => {
      const call = group.rollCall;
      if (!call) {
        return group;
      }
      const others = (call.answers ?? []).filter((other) => other.device !== answer.device);
      const answers = [...others, answer];
      const times = answers.filter((one) => one.state === "verified").map((one) => one.rtt).sort((a, b) => a - b);
      return {
        ...group,
        rollCall: {
          ...call,
          answers,
          verified: times.length,
          unicasts: Math.max(call.unicasts, answers.filter((one) => one.unicast).length),
          median: times[times.length >> 1] ?? 0,
          slowest: times.at(-1) ?? 0,
        },
      };
    });
  }
}

export const state = new State();
