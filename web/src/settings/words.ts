// The states of settings: icon, word and colour.

import type { SettingsPhase, SettingsRow, SettingsRowState, SettingsRun, SettingsState } from "../engine.gen";
import type { Words } from "../words";

const deviceWords: Record<SettingsState, Words> = {
  ok: { tone: "ok", icon: "ok", word: "as confirmed" },
  drifted: { tone: "warn", icon: "warn", word: "drifted" },
  unread: { tone: "doubt", icon: "doubt", word: "not asked yet" },
  silent: { tone: "fail", icon: "fail", word: "silent" },
  trial: { tone: "busy", icon: "wait", word: "on trial" },
  "unknown-schema": { tone: "doubt", icon: "doubt", word: "cannot be set here" },
};

export const deviceWord = (state: SettingsState): Words => deviceWords[state];

/** The order in which they are listed: what needs a person first. */
export const deviceOrder: readonly SettingsState[] = ["silent", "drifted", "unknown-schema", "unread", "trial", "ok"];

const rowWords: Record<SettingsRowState, Words> = {
  planned: { tone: "doubt", icon: "wait", word: "planned" },
  drifted: { tone: "warn", icon: "warn", word: "drifted" },
  refused: { tone: "fail", icon: "fail", word: "refused" },
  checked: { tone: "ok", icon: "ok", word: "would take it" },
  staged: { tone: "busy", icon: "download", word: "staged" },
  scheduled: { tone: "busy", icon: "wait", word: "will switch" },
  trial: { tone: "busy", icon: "wait", word: "switched, on trial" },
  confirmed: { tone: "ok", icon: "ok", word: "confirmed" },
  reverted: { tone: "warn", icon: "job", word: "went back" },
  silent: { tone: "fail", icon: "doubt", word: "silent" },
  same: { tone: "plain", icon: "ok", word: "has it already" },
};

export const rowWord = (state: SettingsRowState): Words => rowWords[state];

export const rowOrder: readonly SettingsRowState[] = ["refused", "silent", "drifted", "reverted", "planned", "checked", "staged", "scheduled", "trial", "confirmed", "same"];

/** Needs a person, or at least a look. */
export const troubled = (row: SettingsRow): boolean => row.problem !== null || row.state === "refused" || row.state === "silent" || row.state === "drifted";

/** It takes part, or took part until something went wrong. */
export const taking = (row: SettingsRow): boolean => row.state !== "drifted" && row.state !== "same" && !(row.state === "refused" || (row.state === "silent" && !row.expected));

const phases: Record<SettingsPhase, string> = {
  planning: "Planned",
  checking: "Checking",
  staging: "Getting ready",
  scheduled: "About to switch",
  trial: "On trial",
  confirming: "Confirming",
  done: "Done",
  reverting: "Going back",
  reverted: "Went back",
  stopped: "Stopped",
  failed: "Failed",
};

export const phaseWord = (run: SettingsRun): string => phases[run.phase];

/** How a result of a test of an emergency light is said. */
export const resultWords: Record<string, Words> = {
  passed: { tone: "ok", icon: "ok", word: "passed" },
  failed: { tone: "fail", icon: "fail", word: "failed" },
  silent: { tone: "fail", icon: "doubt", word: "silent" },
  canceled: { tone: "plain", icon: "stop", word: "cancelled" },
  on: { tone: "ok", icon: "bulb", word: "all on" },
  off: { tone: "plain", icon: "stop", word: "ended" },
};
