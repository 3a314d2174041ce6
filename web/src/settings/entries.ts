// A setting that is a map by numbers, such as scenes or the buttons of a switch: a
// row for each.

import { html, nothing } from "lit";
import type { SettingDef } from "../engine.gen";
import { icon } from "../icons";
import { control, problem, type Wrong } from "./control";
import { marks } from "./field";
import { isMap, same, type Common, type Values } from "./values";

export interface Entries {
  def: SettingDef;
  id: string;
  now: Common;
  /** with the change in it */
  value: Values;
  /** without it */
  base: Values;
  changed: boolean;
  wrong(path: string): Wrong | undefined;
  set(value: Values): void;
  member(entry: string, member: SettingDef, value: unknown, wrong: { raw: string; text: string } | undefined, rested: boolean): void;
  reset(): void;
}

/** What a new entry begins with. */
export function fresh(def: SettingDef): Values {
  const out: Values = {};
  for (const member of def.members ?? []) {
    const value = member.default ?? (member.type === "int" ? (member.max ?? member.min ?? 0) : member.type === "text" ? undefined : member.choices?.[0]?.value);
    if (value !== undefined) {
      out[member.key] = value;
    }
  }
  return out;
}

function free(one: Entries): number[] {
  const [low = 0, high = 0] = one.def.ids ?? [];
  return Array.from({ length: Math.min(256, high - low + 1) }, (_, i) => low + i).filter((id) => one.value[id] === undefined);
}

export function entries(one: Entries) {
  const { def } = one;
  const members = def.members ?? [];
  const ids = Object.keys(one.value).sort((a, b) => Number(a) - Number(b));
  const gone = Object.keys(one.base).filter((id) => one.value[id] === undefined);
  const rest = free(one);
  const add = (event: Event) => {
    const select = (event.target as HTMLElement).closest(".add")!.querySelector("select")!;
    one.set({ ...one.value, [select.value]: fresh(def) });
  };
  return html`<div class="field setting entries ${one.changed ? "changed" : ""}" role="group" aria-labelledby=${one.id} data-testid="setting" data-key=${def.key} data-name=${def.name} data-changed=${one.changed}>
    <span class="label" id=${one.id}>${def.title}</span>
    <span class="hint">${def.help}</span>
    ${marks(def)}
    ${ids.length
      ? html`<div class="scroll"><table>
          <thead><tr><th>No.</th>${members.map((member) => html`<th>${member.title}</th>`)}<th><span class="sr">Take away</span></th></tr></thead>
          <tbody>${ids.map((id) => row(one, id))}</tbody>
        </table></div>`
      : html`<p class="muted small">None yet.</p>`}
    <span class="now">
      ${rest.length
        ? html`<span class="row add"><select class="input" aria-label="Number of a new entry" data-testid="setting-entry-id">${rest.map((id) => html`<option value=${id}>${id}</option>`)}</select>
            <button class="btn sm" data-testid="setting-entry-add" aria-label="Add to ${def.title}" @click=${add}>${icon("plus")}Add</button></span>`
        : nothing}
      <span data-testid="setting-now">${one.now.mixed ? `Now: ${one.now.text}.` : ""}${gone.length ? ` ${gone.join(", ")} will be taken away.` : ""}</span>
      ${one.changed ? html`<button class="btn sm" data-testid="setting-reset" aria-label="As it is: ${def.title}" @click=${one.reset}>As it is</button>` : nothing}
    </span>
  </div>`;
}

function row(one: Entries, id: string) {
  const value = one.value[id];
  const entry = isMap(value) ? value : {};
  const changed = !same(value, one.base[id]);
  return html`<tr class=${changed ? "changed" : ""} data-testid="setting-entry" data-id=${id}>
    <td><strong>${id}</strong></td>
    ${(one.def.members ?? []).map((member) => cell(one, id, member, entry[member.key]))}
    <td class="end"><button class="btn bare icon" data-testid="setting-entry-remove" aria-label="Take ${one.def.title} ${id} away" @click=${() => { const { [id]: _, ...others } = one.value; one.set(others); }}>${icon("trash")}</button></td>
  </tr>`;
}

function cell(one: Entries, id: string, member: SettingDef, value: unknown) {
  const path = `${one.def.key}/${id}/${member.key}`;
  const wrong = one.wrong(path);
  const inputId = `${one.id}-${id}-${member.key}`;
  return html`<td><span class="unit">${control({ def: member, id: inputId, testid: "setting-member", value, wrong, label: `${one.def.title} ${id}: ${member.title}`, set: (to, why, rested) => one.member(id, member, to, why, rested) })}${member.unit ? html`<span>${member.unit}</span>` : nothing}</span>
    ${problem(inputId, wrong)}</td>`;
}
