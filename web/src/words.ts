// State is always an icon, a word and a colour. Here is which.

import { html, type TemplateResult } from "lit";
import type { AnswerState, Device, JobState, Person, PersonRole, Problem } from "./engine.gen";
import { icon, type Icon } from "./icons";

export type Tone = "ok" | "busy" | "warn" | "fail" | "doubt" | "plain";

export interface Words {
  tone: Tone;
  icon: Icon;
  word: string;
}

const deviceWords: Record<Device["state"], Words> = {
  planned: { tone: "doubt", icon: "wait", word: "planned" },
  found: { tone: "plain", icon: "radar", word: "found" },
  working: { tone: "busy", icon: "wait", word: "working" },
  claimed: { tone: "plain", icon: "key", word: "claimed" },
  joined: { tone: "ok", icon: "ok", word: "in sync" },
  failed: { tone: "fail", icon: "fail", word: "failed" },
};

/** Failures that a word names better than "failed". */
const failures: Record<string, string> = {
  "wrong-label-secret": "check the label",
  "device-silent": "silent",
  "device-not-found": "silent",
  "wrong-device": "another device",
  "claimed-by-other": "not yours",
  "foreign-device": "not yours",
  "credential-mismatch": "wrong key",
};

export function deviceState(device: Device): Words {
  const words = deviceWords[device.state];
  const special = device.state === "failed" ? failures[device.problem?.id ?? ""] : undefined;
  if (!device.labelKnown && device.state === "found") {
    return { tone: "doubt", icon: "doubt", word: "no label" };
  }
  return special ? { ...words, word: special } : words;
}

const answerWords: Record<AnswerState, Words> = {
  waiting: { tone: "busy", icon: "wait", word: "waiting" },
  asking: { tone: "busy", icon: "wait", word: "asking" },
  verified: { tone: "ok", icon: "ok", word: "verified" },
  mismatch: { tone: "fail", icon: "doubt", word: "mismatch" },
  silent: { tone: "fail", icon: "fail", word: "silent" },
  error: { tone: "fail", icon: "fail", word: "error" },
};

/** A member that was not asked yet has no answer. */
export function answerState(answer: AnswerState | undefined): Words {
  return answer ? answerWords[answer] : { tone: "doubt", icon: "doubt", word: "no proof" };
}

const jobWords: Record<JobState, Words> = {
  running: { tone: "busy", icon: "wait", word: "running" },
  waiting: { tone: "warn", icon: "wait", word: "waiting" },
  done: { tone: "ok", icon: "ok", word: "done" },
  partial: { tone: "fail", icon: "fail", word: "partly done" },
  failed: { tone: "fail", icon: "fail", word: "failed" },
  canceled: { tone: "plain", icon: "stop", word: "cancelled" },
};

export const jobState = (state: JobState): Words => jobWords[state];

const itemWords: Record<string, Words> = {
  todo: { tone: "doubt", icon: "wait", word: "planned" },
  working: { tone: "busy", icon: "wait", word: "working" },
  done: { tone: "ok", icon: "ok", word: "done" },
  failed: { tone: "fail", icon: "fail", word: "failed" },
};

export function itemState(state: string, problem: Problem | null): Words {
  const words = itemWords[state] ?? itemWords["todo"]!;
  const special = state === "failed" ? failures[problem?.id ?? ""] : undefined;
  return special ? { ...words, word: special } : words;
}

const levelWords: Record<string, Words> = {
  info: { tone: "plain", icon: "info", word: "info" },
  warn: { tone: "warn", icon: "warn", word: "warning" },
  error: { tone: "fail", icon: "fail", word: "error" },
};

export const logLevel = (level: string): Words => levelWords[level] ?? levelWords["info"]!;

/** What a role is called, and what it allows. */
export const roleWords: Record<PersonRole, { word: string; may: string }> = {
  installer: { word: "Installer", may: "brings devices in, makes groups, switches them" },
  maintainer: { word: "Maintainer", may: "switches groups, runs roll calls, reads settings" },
  viewer: { word: "Viewer", may: "looks on" },
  admin: { word: "Administrator", may: "everything, people too" },
};

export function personState(person: Person): Words {
  if (person.revoked) {
    return { tone: "plain", icon: "stop", word: "revoked" };
  }
  if (!person.pending && person.expires && person.expires <= Date.now()) {
    return { tone: "plain", icon: "stop", word: "access has ended" };
  }
  return person.pending ? { tone: "busy", icon: "wait", word: "invited" } : { tone: "ok", icon: "ok", word: "has access" };
}

/** Icon, word and colour. */
export function status(words: Words, testid?: string): TemplateResult {
  return html`<span class="st ${words.tone}" data-testid=${testid ?? "state"}>${icon(words.icon)}${words.word}</span>`;
}
