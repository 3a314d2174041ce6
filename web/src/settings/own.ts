// Settings that each device has for itself, in a table.

import { html, nothing } from "lit";
import type { SettingDef, SettingsDevice } from "../engine.gen";
import { icon } from "../icons";
import { deviceName } from "../parts/job";
import { control, problem, type Wrong } from "./control";

/** So many rows are drawn at once. */
const most = 200;

export interface Own {
  defs: SettingDef[];
  devices: SettingsDevice[];
  value(device: string, def: SettingDef): unknown;
  changed(device: string, def: SettingDef): boolean;
  wrong(path: string): Wrong | undefined;
  set(device: string, def: SettingDef, value: unknown, wrong: { raw: string; text: string } | undefined, rested: boolean): void;
  open: boolean;
}

export function own(one: Own) {
  const { devices } = one;
  return html`<details class="own" ?open=${one.open}>
    <summary data-testid="settings-own">${icon("open")}Of each device: ${one.defs.map((def) => def.title.toLowerCase()).join(", ")}</summary>
    <div class="scroll"><table>
      <caption class="sr">Settings of each device</caption>
      <thead><tr><th>Device</th>${one.defs.map((def) => html`<th>${def.title}${def.unit ? ` (${def.unit})` : ""}</th>`)}</tr></thead>
      <tbody>${devices.slice(0, most).map((device) => row(one, device))}</tbody>
    </table></div>
    ${devices.length > most ? html`<p class="muted small">The first ${most} of ${devices.length}. A CSV file can carry them all: export it, change it, import it.</p>` : nothing}
  </details>`;
}

function row(one: Own, device: SettingsDevice) {
  return html`<tr data-testid="settings-own-row" data-device=${device.device}>
    <td><strong>${deviceName(device.device)}</strong></td>
    ${one.defs.map((def) => {
      const wrong = one.wrong(`${device.device}/${def.key}`);
      const id = `own-${device.device}-${def.key}`;
      return html`<td class=${one.changed(device.device, def) ? "changed" : ""}>${control({ def, id, testid: "settings-own-input", value: one.value(device.device, def), wrong, label: `${deviceName(device.device)}: ${def.title}`, set: (value, why, rested) => one.set(device.device, def, value, why, rested) })}${problem(id, wrong)}</td>`;
    })}
  </tr>`;
}
