// One control for one value, as its definition has it.

import { html, nothing } from "lit";
import type { SettingDef } from "../engine.gen";
import { icon } from "../icons";
import { refusal } from "./range";
import { isExpression } from "./values";

/** What was typed and cannot be: kept at its control, not in the change. */
export interface Wrong {
  raw: string;
  text: string;
  /** it is told once the typing rests */
  told: boolean;
}

export interface Control {
  def: SettingDef;
  id: string;
  testid: string;
  value: unknown;
  /** devices differ, and nothing was chosen */
  mixed?: boolean;
  wrong?: Wrong | undefined;
  label?: string | undefined;
  describedby?: string | undefined;
  /** rested: the person is done with it */
  set(value: unknown, wrong: { raw: string; text: string } | undefined, rested: boolean): void;
}

function take(one: Control, raw: string, value: unknown, rested: boolean): void {
  const text = refusal(one.def, value);
  one.set(value, text ? { raw, text } : undefined, rested);
}

/** What is wrong with what was typed, once it is told. */
export const problem = (id: string, wrong: Wrong | undefined) =>
  wrong?.told ? html`<span class="error" role="alert" id="${id}-problem" data-testid="setting-problem">${icon("fail")}<span>${wrong.text}</span></span>` : nothing;

const number = (raw: string): unknown => (raw.trim() === "" ? NaN : Number(raw));

/** Whether the control is a tick, which stands before its words. */
export const isTick = (def: SettingDef, value: unknown): boolean => def.type === "bool" && !isExpression(value);

export function control(one: Control) {
  const { def, value } = one;
  const told = one.wrong?.told ?? false;
  const describedby = [one.describedby, told ? one.id + "-problem" : ""].filter(Boolean).join(" ") || nothing;
  const label = one.label ?? nothing;
  if (isTick(def, value)) {
    return html`<input type="checkbox" id=${one.id} data-testid=${one.testid} data-key=${def.key} data-name=${def.name} aria-label=${label} aria-describedby=${describedby} .checked=${value === true} .indeterminate=${!!one.mixed}
      @change=${(event: Event) => one.set((event.target as HTMLInputElement).checked, undefined, true)} />`;
  }
  if (def.type === "choice" && !isExpression(value)) {
    const choose = (event: Event) => {
      const raw = (event.target as HTMLSelectElement).value;
      if (raw !== "") {
        one.set(Number(raw), undefined, true);
      }
    };
    const open = one.mixed || value === undefined || value === null;
    return html`<select class="input" id=${one.id} data-testid=${one.testid} data-key=${def.key} data-name=${def.name} aria-label=${label} aria-describedby=${describedby} @change=${choose}>
      ${open ? html`<option value="" selected>${one.mixed ? "As each has it" : "Not set"}</option>` : nothing}
      ${(def.choices ?? []).map((choice) => html`<option value=${choice.value} ?selected=${!open && choice.value === value}>${choice.title}</option>`)}
    </select>`;
  }
  const numeric = def.type === "int" && !isExpression(value);
  const shown = one.wrong ? one.wrong.raw : one.mixed || value === undefined || value === null ? "" : String(value);
  const typed = (rested: boolean) => (event: Event) => {
    const raw = (event.target as HTMLInputElement).value;
    take(one, raw, numeric ? number(raw) : raw, rested);
  };
  return html`<input class="input" id=${one.id} data-testid=${one.testid} data-key=${def.key} data-name=${def.name} type=${numeric ? "number" : "text"} inputmode=${numeric ? "numeric" : "text"}
    min=${numeric && def.min !== null ? def.min : nothing} max=${numeric && def.max !== null ? def.max : nothing} step=${numeric ? (def.step ?? 1) : nothing}
    .value=${shown} placeholder=${one.mixed ? "differs" : def.default !== null && def.default !== undefined && numeric ? String(def.default) : ""} aria-label=${label} aria-describedby=${describedby} aria-invalid=${told ? "true" : nothing}
    autocomplete="off" spellcheck="false" @input=${typed(false)} @change=${typed(true)} />`;
}
