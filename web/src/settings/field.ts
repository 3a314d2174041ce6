// A setting in the form: what it is called, its control, what it is now.

import { html, nothing } from "lit";
import type { SettingDef } from "../engine.gen";
import { icon } from "../icons";
import { control, isTick, problem, type Wrong } from "./control";
import { rangeOf } from "./range";
import { isExpression, type Common } from "./values";

export interface Field {
  def: SettingDef;
  id: string;
  now: Common;
  value: unknown;
  mixed: boolean;
  changed: boolean;
  fromTemplate: boolean;
  wrong: Wrong | undefined;
  set(value: unknown, wrong: { raw: string; text: string } | undefined, rested: boolean): void;
  reset(): void;
}

/** What to know before one changes it. */
export function marks(def: SettingDef) {
  return html`${def.restart ? html`<span class="st doubt" data-testid="setting-mark" data-mark="restart">${icon("job")}takes effect after a restart</span>` : nothing}
    ${def.network ? html`<span class="st warn" data-testid="setting-mark" data-mark="network">${icon("warn")}may cut devices off</span>` : nothing}`;
}

export function field(one: Field) {
  const { def } = one;
  const unit = def.unit && def.type === "int" && !isExpression(one.value);
  const tick = isTick(def, one.value);
  const input = control({ def, id: one.id, testid: "setting-input", value: one.value, mixed: one.mixed, wrong: one.wrong, describedby: one.id + "-hint", set: one.set });
  return html`<div class="field setting ${one.changed ? "changed" : ""}" data-testid="setting" data-key=${def.key} data-name=${def.name} data-changed=${one.changed}>
    ${tick
      ? html`<label class="onoff">${input}<span>${def.title}</span></label>`
      : html`<label for=${one.id}>${def.title}</label>
          <span class="unit">${input}${unit ? html`<span>${def.unit}</span>` : nothing}</span>`}
    ${problem(one.id, one.wrong)}
    <span class="hint" id="${one.id}-hint">${def.help}${rangeOf(def) ? html`${def.help ? " " : ""}<span class="range-of">${rangeOf(def)}.</span>` : nothing}</span>
    ${marks(def)}
    ${one.changed || one.now.mixed || one.fromTemplate
      ? html`<span class="now"><span data-testid="setting-now">${one.fromTemplate ? "From the template; now: " : "Now: "}${one.now.text}</span>
          ${one.changed ? html`<button class="btn sm" data-testid="setting-reset" aria-label="As it is: ${def.title}" @click=${one.reset}>As it is</button>` : nothing}</span>`
      : nothing}
  </div>`;
}
