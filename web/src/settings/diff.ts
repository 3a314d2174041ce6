// What a change would do: old and new side by side, devices together that change
// in the same way.

import { html, nothing } from "lit";
import { openDevice } from "../dialogs/device";
import type { SettingsRow, SettingsSchema } from "../engine.gen";
import { byName, count } from "../format";
import { icon } from "../icons";
import { deviceName, lamps } from "../parts/job";
import { state } from "../state";
import { status } from "../words";
import { lines, type Line } from "./values";
import { rowOrder, rowWord } from "./words";

export interface Kind {
  rows: SettingsRow[];
  lines: Line[];
  /** what differs from device to device */
  own: Map<string, Line[]>;
}

/** Lines in which devices differ say so; each device's own stand with its name. */
function apart(kind: Kind): void {
  const all = [...kind.own.values()];
  const varies = kind.lines.map((_, i) => new Set(all.map((lines) => JSON.stringify(lines[i]))).size > 1);
  kind.own.forEach((lines, device) => kind.own.set(device, lines.filter((_, i) => varies[i])));
  kind.lines = kind.lines.map((line, i) => (varies[i] ? { ...line, old: "each its own", new: "see below", known: line.known && "each its own" } : line));
}

/** More kinds than these are told together, by the settings that differ. */
const most = 8;

/** Rows that stand the same, for the same reason, with the same difference. */
export function kinds(rows: SettingsRow[], schema: SettingsSchema | undefined, together = false): Kind[] {
  const by = new Map<string, Kind>();
  for (const row of rows) {
    const own = (row.changes ?? []).flatMap((change) => lines(schema, change));
    const id = JSON.stringify([row.state, row.problem?.id ?? "", together ? own.map((line) => [line.title, !line.known]) : own]);
    const kind = by.get(id) ?? { rows: [], lines: own, own: new Map<string, Line[]>() };
    kind.rows.push(row);
    kind.own.set(row.device, own);
    by.set(id, kind);
  }
  if (by.size > most && !together) {
    return kinds(rows, schema, true);
  }
  by.forEach((kind) => (together ? apart(kind) : kind.own.clear()));
  return [...by.values()].sort((a, b) => rowOrder.indexOf(a.rows[0]!.state) - rowOrder.indexOf(b.rows[0]!.state) || b.rows.length - a.rows.length);
}

const named = (rows: SettingsRow[]): string => lamps(rows.map((row) => state.devices.get(row.device)));

export function difference(all: Kind[]) {
  return html`${all.map(({ rows, lines: differs, own }) => {
    const first = rows[0]!;
    const drifted = differs.some((line) => line.known);
    return html`<section class="card diff" data-testid="change-group" data-count=${rows.length} data-state=${first.state}>
      <div class="sect"><h3>${rows.length === 1 ? deviceName(first.device) : named(rows)}</h3>${status(rowWord(first.state))}</div>
      ${first.problem ? html`<p class="why">${first.problem.text} <span class="muted">${first.problem.next}</span></p>` : nothing}
      ${differs.length
        ? html`<div class="scroll"><table>
            <thead><tr><th>Setting</th>${drifted ? html`<th>Confirmed</th>` : nothing}<th>Now</th><th>New</th></tr></thead>
            <tbody>${differs.map((line) => row(line, drifted))}</tbody>
          </table></div>`
        : nothing}
      ${rows.length > 1 ? members(rows, own) : nothing}
    </section>`;
  })}`;
}

function row(line: Line, drifted: boolean) {
  return html`<tr data-testid="change-setting" data-key=${line.key}>
    <td>${line.title}</td>
    ${drifted ? html`<td data-testid="change-drifted">${line.known || html`<span class="muted">as now</span>`}</td>` : nothing}
    <td class=${line.known ? "drift" : ""} data-testid="change-old">${line.known ? icon("warn") : nothing}${line.old}</td>
    <td class="new" data-testid="change-new">${line.old === line.new ? html`<span class="muted">stays</span>` : html`<span aria-hidden="true">→</span> <strong>${line.new}</strong>`}</td>
  </tr>`;
}

function members(rows: SettingsRow[], own: Map<string, Line[]>) {
  const sorted = [...rows].sort((a, b) => byName(deviceName(a.device), deviceName(b.device)));
  return html`<details class="fold">
    <summary data-testid="change-devices">${icon("open")}Which ${count(rows.length, "device")}</summary>
    <ul class="names">${sorted.map((one) => html`<li data-testid="change-device" data-device=${one.device} data-state=${one.state} data-problem=${one.problem?.id ?? ""}><button class="btn sm" data-testid="run-device-open" @click=${() => openDevice(one.device)}>${deviceName(one.device)}</button>${(own.get(one.device) ?? []).map((line) => html`<span class="next">${line.title}: ${line.old} → ${line.new}</span>`)}</li>`)}</ul>
  </details>`;
}
