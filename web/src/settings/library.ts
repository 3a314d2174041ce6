// Templates: the library, and what the one in use still asks.

import { html, nothing } from "lit";
import { confirm } from "../dialogs/confirm";
import type { SettingDef, SettingsChange, SettingsSchema, SettingsTemplate, SettingsVariable } from "../engine.gen";
import { engine } from "../engine/start";
import { count, minute } from "../format";
import { icon } from "../icons";
import { attempt, tell } from "../shell/toasts";
import { control, problem, type Wrong } from "./control";
import { readTemplates, templates, write } from "./data";
import { blank } from "./values";

/** The templates of a model. */
export function library(group: string, model: string, change: SettingsChange) {
  const all = templates().filter((one) => one.model === model);
  if (all.length === 0) {
    return nothing;
  }
  return html`<section class="card" aria-labelledby="library" data-testid="template-library">
    <div class="sect"><h2 id="library">Templates</h2></div>
    <ul class="library">${all.map((one) => row(group, one, one.id === change.template))}</ul>
  </section>`;
}

function row(group: string, one: SettingsTemplate, chosen: boolean) {
  const asks = (one.variables ?? []).map((variable) => variable.title || variable.name);
  return html`<li data-testid="template" data-template=${one.id} data-name=${one.name}>
    <span><strong>${one.name}</strong><span class="muted small">${count(Object.keys(one.values ?? {}).length, "setting")}${asks.length ? `, asks ${asks.join(", ")}` : ""}, saved ${minute(one.at)}</span></span>
    <button class="btn" data-testid="template-use" aria-label="Use the template ${one.name}" ?disabled=${chosen} @click=${() => use(group, one)}>${icon(chosen ? "ok" : "next")}${chosen ? "In use" : "Use"}</button>
    <button class="btn bare icon" data-testid="template-delete" aria-label="Delete the template ${one.name}" @click=${() => void drop(one)}>${icon("trash")}</button>
  </li>`;
}

function use(group: string, one: SettingsTemplate): void {
  const variables = Object.fromEntries((one.variables ?? []).filter((variable) => variable.default !== null && variable.default !== undefined).map((variable) => [variable.name, variable.default]));
  write({ ...blank(group, one.model), template: one.id, variables });
}

async function drop(one: SettingsTemplate): Promise<void> {
  const sure = await confirm({ title: `Delete the template “${one.name}”?`, text: "Devices keep what they run.", yes: "Delete" });
  if (sure && (await attempt(engine.deleteTemplate(one.id).then(() => true)))) {
    tell(`The template “${one.name}” is deleted.`);
    await readTemplates();
  }
}

interface Used {
  change: SettingsChange;
  schema: SettingsSchema;
  write(part: Partial<SettingsChange>): void;
  wrong(path: string): Wrong | undefined;
  remember(path: string, why: { raw: string; text: string } | undefined, rested: boolean): void;
}

/** A variable is what the setting is that it stands for alone, or a text or number. */
function definitionOf(variable: SettingsVariable, one: SettingsTemplate, schema: SettingsSchema): SettingDef {
  const find = (values: unknown, defs: SettingDef[]): SettingDef | undefined => {
    for (const [key, value] of Object.entries((values ?? {}) as Record<string, unknown>)) {
      const def = defs.find((one) => String(one.key) === key);
      if (typeof value === "string" && value.replaceAll(" ", "") === `\${${variable.name}}` && def) {
        return def;
      }
      if (def?.ids && value && typeof value === "object") {
        for (const entry of Object.values(value)) {
          const inner = find(entry, def.members ?? []);
          if (inner) {
            return inner;
          }
        }
      }
    }
    return undefined;
  };
  const type = typeof variable.default === "number" ? "int" : typeof variable.default === "boolean" ? "bool" : "text";
  return find(one.values, schema.defs ?? []) ?? {
    key: 0, name: variable.name, title: variable.title, help: "", type, unit: "", min: null, max: null, step: null, default: variable.default,
    perDevice: false, restart: false, network: false, choices: [], ids: null, members: [],
  };
}

/** The template that is in use, and its questions. */
export function used(one: Used) {
  const template = templates().find((each) => each.id === one.change.template);
  if (!template) {
    return nothing;
  }
  return html`<section class="used" aria-labelledby="used" data-testid="template-used">
    <div class="row"><h3 id="used">Template “${template.name}”</h3>
      <button class="btn sm push" data-testid="settings-discard" @click=${() => one.write({ template: "", variables: {} })}>Without it</button></div>
    ${(template.variables ?? []).length
      ? html`<div class="fields">${template.variables.map((variable) => ask(one, template, variable))}</div>`
      : html`<p class="muted small">Its values stand in the fields below; what you change goes in front.</p>`}
  </section>`;
}

function ask(one: Used, template: SettingsTemplate, variable: SettingsVariable) {
  const def = definitionOf(variable, template, one.schema);
  const path = "variable/" + variable.name;
  const wrong = one.wrong(path);
  const id = "variable-" + variable.name;
  const value = one.change.variables[variable.name] ?? variable.default;
  const set = (to: unknown, why: { raw: string; text: string } | undefined, rested: boolean) => {
    one.remember(path, why, rested);
    if (!why) {
      one.write({ variables: { ...one.change.variables, [variable.name]: to } });
    }
  };
  return html`<div class="field" data-testid="template-variable" data-variable=${variable.name}>
    <label for=${id}>${variable.title || variable.name}</label>
    <span class="unit">${control({ def, id, testid: "setting-input", value, wrong, set })}${def.unit ? html`<span>${def.unit}</span>` : nothing}</span>
    ${problem(id, wrong)}
  </div>`;
}
