// Changes of a group that have ended, and how they are undone.

import { html, nothing } from "lit";
import type { SettingsRun } from "../engine.gen";
import { engine } from "../engine/start";
import { count, minute } from "../format";
import { icon } from "../icons";
import { go, href } from "../route";
import { attempt, tell } from "../shell/toasts";
import { state } from "../state";
import { schemaOf, write } from "./data";
import { inState } from "./steps";
import { definition } from "./values";
import { phaseWord } from "./words";

/** Writes the change that takes one back: it goes the way of all changes. */
export async function undo(run: SettingsRun): Promise<void> {
  const change = await attempt(engine.undoSettings(run.job));
  if (change) {
    write(change);
    tell("This takes the change back. Look at it, then switch.");
    go("settings", change.group, "change");
  }
}

/** The changes of a group, the last first. */
export function past(group: string) {
  const runs = [...state.runs.values()].filter((run) => run.change.group === group && run.ended).sort((a, b) => b.ended - a.ended);
  if (!runs.length) {
    return nothing;
  }
  return html`<section class="card"><details class="fold">
    <summary data-testid="settings-past">${icon("open")}${count(runs.length, "change")} so far</summary>
    <ul class="library">${runs.slice(0, 50).map(row)}</ul>
  </details></section>`;
}

function row(run: SettingsRun) {
  const rows = run.rows ?? [];
  const schema = schemaOf(run.change.group, run.change.model);
  const names = [...new Set(rows.flatMap((row) => (row.changes ?? []).map((one) => definition(schema, one.name)?.title ?? one.name)))];
  return html`<li data-testid="past-change" data-job=${run.job} data-phase=${run.phase}>
    <span><strong>${phaseWord(run)}, ${minute(run.ended)}</strong><span class="muted small">${names.slice(0, 4).join(", ")}${names.length > 4 ? " …" : ""}${names.length ? ": " : ""}${count(inState(rows, "confirmed"), "device")} keep it</span></span>
    ${run.undoUntil > Date.now() ? html`<button class="btn" data-testid="past-undo" aria-label="Undo the change of ${minute(run.ended)}" @click=${() => void undo(run)}>${icon("job")}Undo</button>` : nothing}
    <a class="btn" data-testid="past-open" aria-label="Open the change of ${minute(run.ended)}" href=${href("jobs", run.job)}>Open${icon("next")}</a>
  </li>`;
}
