import { html, nothing } from "lit";
import { customElement, state as reactive } from "lit/decorators.js";
import { Dialog, show } from "../dialogs/dialog";
import type { SettingDef, SettingsChange, SettingsSchema, SettingsTemplate } from "../engine.gen";
import { engine } from "../engine/start";
import { icon } from "../icons";
import { tell } from "../shell/toasts";
import { draft, readTemplates, templates, trouble, write } from "./data";
import { isExpression, isMap, overlay, say, type Values } from "./values";

/** Keeps what was changed as a template; what it shall ask becomes a variable. */
@customElement("ll-save-template")
export class SaveTemplate extends Dialog<SettingsTemplate> {
  protected readonly kind = "template";
  schema!: SettingsSchema;
  change!: SettingsChange;
  @reactive() private busy = false;
  @reactive() private problem = "";

  get #base(): SettingsTemplate | undefined {
    return templates().find((one) => one.id === this.change.template);
  }

  get #values(): Values {
    return overlay(this.#base?.values ?? {}, this.change.values);
  }

  /** A plain value can be asked for each time. */
  get #askable(): SettingDef[] {
    return (this.schema.defs ?? []).filter((def) => {
      const value = this.#values[def.key];
      return value !== undefined && value !== null && !isMap(value) && !isExpression(value);
    });
  }

  protected override content() {
    return html`<form @submit=${this.#save}>
      ${this.header("Save as template")}
      <div class="field">
        <label for="template-name">Name</label>
        <input class="input" id="template-name" data-testid="template-name" required maxlength="60" autocomplete="off" autofocus placeholder="Classroom" value=${this.#base?.name ?? ""} />
        <span class="hint">A template of that name is replaced.</span>
      </div>
      ${this.#askable.length
        ? html`<fieldset class="roles"><legend>Ask each time it is used</legend>
            ${this.#askable.map((def) => html`<label class="choice"><input type="checkbox" name="ask" value=${def.key} data-testid="template-ask" data-key=${def.key} />
              <span><strong>${def.title}</strong><span class="muted small">${say(def, this.#values[def.key])}, unless another is given</span></span></label>`)}
          </fieldset>`
        : nothing}
      <p class="error" role="alert">${this.problem ? html`${icon("fail")}<span>${this.problem}</span>` : nothing}</p>
      <div class="acts">
        <button type="button" class="btn" data-testid="template-cancel" @click=${() => this.close()}>Cancel</button>
        <button class="btn go" data-testid="template-confirm" ?disabled=${this.busy}>Save</button>
      </div>
    </form>`;
  }

  #save = async (event: SubmitEvent) => {
    event.preventDefault();
    const name = this.querySelector<HTMLInputElement>("#template-name")!.value.trim();
    const asked = [...this.querySelectorAll<HTMLInputElement>("input[name=ask]:checked")].map((input) => Number(input.value));
    const values = { ...this.#values };
    const variables = [...(this.#base?.variables ?? [])];
    for (const def of this.#askable.filter((one) => asked.includes(one.key))) {
      const variable = def.name.replaceAll("-", "_");
      if (!variables.some((one) => one.name === variable)) {
        variables.push({ name: variable, title: def.title, default: values[def.key] });
      }
      values[def.key] = `\${${variable}}`;
    }
    this.busy = true;
    this.problem = "";
    try {
      const saved = await engine.saveTemplate({ id: templates().find((one) => one.name === name && one.model === this.schema.model)?.id ?? "", name, model: this.schema.model, values, variables, at: 0 });
      await readTemplates();
      tell(`The template “${saved.name}” is saved.`);
      this.close(saved);
    } catch (reason) {
      const { text, next } = trouble(reason);
      this.problem = [text, next].filter(Boolean).join(" ");
    }
    this.busy = false;
  };
}

/** After it was saved, the form goes on with the template. */
export async function openSaveTemplate(schema: SettingsSchema, change: SettingsChange): Promise<void> {
  const dialog = new SaveTemplate();
  dialog.schema = schema;
  dialog.change = change;
  const saved = await show(dialog);
  const now = draft(change.group);
  if (saved && now) {
    const variables = Object.fromEntries((saved.variables ?? []).map((one) => [one.name, now.variables[one.name] ?? one.default]));
    write({ ...now, template: saved.id, values: {}, variables });
  }
}
