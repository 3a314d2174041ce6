// The four steps of a change: checked, staged, switched, confirmed.

import { html, nothing } from "lit";
import type { SettingsPhase, SettingsRow, SettingsRowState, SettingsRun } from "../engine.gen";
import { clock } from "../format";
import { icon, type Icon } from "../icons";
import type { Tone } from "../words";
import { taking } from "./words";

const reached: Record<string, readonly SettingsRowState[]> = {
  checked: ["checked", "staged", "scheduled", "trial", "confirmed", "reverted"],
  staged: ["staged", "scheduled", "trial", "confirmed", "reverted"],
  switched: ["trial", "confirmed"],
  confirmed: ["confirmed"],
};

const order: readonly SettingsPhase[] = ["planning", "checking", "staging", "scheduled", "trial", "confirming", "done"];
/** [it is under way, it is over] at these phases */
const spans: Record<string, [SettingsPhase, SettingsPhase]> = {
  checked: ["planning", "staging"],
  staged: ["staging", "scheduled"],
  switched: ["scheduled", "trial"],
  confirmed: ["trial", "done"],
};

export const those = (run: SettingsRun): SettingsRow[] => (run.rows ?? []).filter((row) => taking(row) || row.state === "refused" || row.state === "silent");

export const inState = (rows: SettingsRow[], ...states: readonly SettingsRowState[]): number => rows.filter((row) => states.includes(row.state)).length;

function tone(run: SettingsRun, id: string): Tone {
  const rows = those(run);
  const n = inState(rows, ...reached[id]!);
  const at = order.indexOf(run.phase);
  const [begins, over] = spans[id]!;
  if (at < 0) {
    return run.phase === "failed" || run.phase === "stopped" ? (n === rows.length && n ? "ok" : id === "switched" || id === "confirmed" ? "plain" : "warn") : id === "switched" || id === "confirmed" ? "warn" : "ok";
  }
  if (at >= order.indexOf(over)) {
    return n < rows.length ? "warn" : "ok";
  }
  return at >= order.indexOf(begins) ? "busy" : "plain";
}

function text(run: SettingsRun, id: string): string {
  const rows = those(run);
  const n = inState(rows, ...reached[id]!);
  switch (id) {
    case "switched":
      return run.switchAt && run.phase === "scheduled" ? `at ${clock(run.switchAt)}` : n ? `${n} of ${rows.length} run it` : run.phase === "reverted" || run.phase === "reverting" ? "taken back" : "all at one time";
    case "confirmed":
      return n ? `${n} of ${rows.length} keep it` : "by you";
    case "staged":
      return n ? `${n} of ${rows.length} ${run.phase === "staging" || run.phase === "scheduled" ? "have" : "had"} it ready` : "kept beside what runs";
    default:
      return n ? `${n} of ${rows.length}, by their own digest` : "by each device";
  }
}

const titles: Record<string, string> = { checked: "Checked", staged: "Staged", switched: "Switched", confirmed: "Confirmed" };
const icons: Partial<Record<Tone, Icon>> = { ok: "ok", busy: "wait", warn: "warn", fail: "fail" };

export function steps(run: SettingsRun) {
  return html`<ol class="steps" aria-label="Steps">${Object.keys(titles).map((id) => {
    const now = tone(run, id);
    const image = icons[now];
    return html`<li class=${now} data-testid="run-step" data-step=${id} data-tone=${now} aria-current=${now === "busy" ? "step" : nothing}>
      <strong>${image ? icon(image) : nothing}${titles[id]}</strong><span data-testid="run-step-text">${text(run, id)}</span>
    </li>`;
  })}</ol>`;
}
