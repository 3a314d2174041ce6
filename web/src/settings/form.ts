import { html, nothing } from "lit";
import { customElement, property } from "lit/decorators.js";
import type { SettingDef, SettingsChange, SettingsDevice, SettingsSchema } from "../engine.gen";
import { count } from "../format";
import { icon } from "../icons";
import { note } from "../parts/note";
import { go } from "../route";
import { View } from "../view";
import type { Wrong } from "./control";
import { devicesOf, discard, draftOf, templates, write } from "./data";
import { entries } from "./entries";
import { field } from "./field";
import { own } from "./own";
import { openSaveTemplate } from "./save-template";
import { used } from "./library";
import { common, difference, isMap, merge, same, weight, type Values } from "./values";

/** How long typing rests before what is wrong is told. */
const rest = 600;

/** The form that a model's schema makes. */
@customElement("ll-settings-form")
export class SettingsForm extends View {
  @property({ attribute: false }) group = "";
  @property({ attribute: false }) schema!: SettingsSchema;
  /** only what concerns the network */
  @property({ type: Boolean }) network = false;
  #wrong = new Map<string, Wrong>();
  #timer = 0;
  #ownOpen = false;

  get #change(): SettingsChange {
    return draftOf(this.group, this.schema.model);
  }

  /** Those that the change is for. */
  get #devices(): SettingsDevice[] {
    const { devices } = this.#change;
    return devicesOf(this.group, this.schema.model).filter((one) => !devices.length || devices.includes(one.device));
  }

  get #template(): Values {
    const id = this.#change.template;
    return (id && templates().find((one) => one.id === id)?.values) || {};
  }

  protected override render() {
    const change = this.#change;
    const defs = (this.schema.defs ?? []).filter((def) => !this.network || def.network);
    const shared = defs.filter((def) => !def.perDevice);
    const each = defs.filter((def) => def.perDevice);
    const simple = shared.filter((def) => def.type !== "map");
    const maps = shared.filter((def) => def.type === "map");
    const n = weight(change, this.#template);
    const imported = Object.keys(change.perDevice ?? {}).length;
    const some = change.devices.length;
    const all = count(devicesOf(this.group, this.schema.model).length, "device");
    return html`<section class="card form" aria-labelledby="form-${this.schema.model}" data-testid="settings-form" data-model=${this.schema.model} data-changed=${n}>
      <div class="sect"><h2 id="form-${this.schema.model}">${this.schema.title || this.schema.model}</h2>
        <span class="muted small"><span data-testid="settings-for">for ${some ? `${some} of ${all} only` : all}</span> · schema ${this.schema.version}${this.schema.signed ? ", signed by the vendor" : ""}</span></div>
      <div class="body">
        ${this.schema.problem ? note({ tone: "warn", icon: "warn", title: this.schema.problem.text, text: this.schema.problem.next }) : nothing}
        ${used({ change, schema: this.schema, write: (part) => this.#write(part), wrong: (path) => this.#wrong.get(path), remember: (path, why, rested) => this.#remember(path, why, rested) })}
        <div class="fields">${simple.map((def) => this.#field(def))}</div>
        ${maps.map((def) => this.#entries(def))}
        ${each.length ? own({ defs: each, devices: this.#devices, open: this.#ownOpen || imported > 0, value: (device, def) => this.#own(device, def), changed: (device, def) => change.perDevice[device]?.[def.key] !== undefined, wrong: (path) => this.#wrong.get(path), set: (...all) => this.#setOwn(...all) }) : nothing}
      </div>
      ${this.#bar(n, some > 0 || change.mend)}
    </section>`;
  }

  #bar(n: number, begun: boolean) {
    const wrong = this.#wrong.size;
    return html`<div class="bar">
      <span role="status" data-testid="settings-changed" class=${wrong ? "fail" : "muted"}>${wrong ? `${count(wrong, "value")} cannot be as typed.` : n ? `${count(n, "setting")} to change. Nothing has been sent yet.` : this.#change.mend ? "Drifted devices go back to what was confirmed." : "Nothing is changed yet."}</span>
      <span class="push row">
        ${n && !this.network ? html`<button class="btn" data-testid="template-save" ?disabled=${wrong > 0} @click=${() => openSaveTemplate(this.schema, this.#change)}>${icon("copy")}Save as template</button>` : nothing}
        ${n || begun ? html`<button class="btn" data-testid="settings-discard" @click=${() => this.#discard()}>Discard</button>` : nothing}
        <button class="btn go" data-testid="settings-plan" ?disabled=${(n === 0 && !this.#change.mend) || wrong > 0} @click=${() => this.#plan()}>Look at the change${icon("next")}</button>
      </span>
    </div>`;
  }

  /** Another model's change may have been written last. */
  #plan(): void {
    this.#write({});
    go("settings", this.group, "change");
  }

  #field(def: SettingDef) {
    const change = this.#change;
    const now = common(def, this.#devices);
    const templated = this.#template[def.key];
    const own = change.values[def.key];
    const value = own !== undefined ? own : templated !== undefined ? templated : now.value;
    const path = String(def.key);
    const wrong = this.#wrong.get(path);
    return field({
      def,
      id: `setting-${this.schema.model}-${def.key}`,
      now,
      value,
      mixed: now.mixed && own === undefined && templated === undefined,
      changed: own !== undefined || wrong !== undefined,
      fromTemplate: own === undefined && templated !== undefined,
      wrong,
      set: (to, why, rested) => {
        this.#remember(path, why, rested);
        if (!why) {
          const base = templated !== undefined ? templated : now.mixed ? undefined : now.value;
          this.#setValue(def, same(to, base) ? undefined : to);
        }
      },
      reset: () => {
        this.#forget(path);
        this.#setValue(def, undefined);
      },
    });
  }

  #entries(def: SettingDef) {
    const now = common(def, this.#devices);
    const base = merge(merge(now.value, this.#template[def.key] ?? {}), {}) as Values;
    const patch = this.#change.values[def.key];
    const value = merge(base, isMap(patch) ? patch : {}) as Values;
    const set = (to: Values) => this.#setValue(def, difference(base, to));
    return entries({
      def,
      id: `setting-${this.schema.model}-${def.key}`,
      now,
      base,
      value,
      changed: patch !== undefined,
      wrong: (path) => this.#wrong.get(path),
      set: (to) => {
        this.#forget(`${def.key}/`);
        set(to);
      },
      member: (id, member, to, why, rested) => {
        this.#remember(`${def.key}/${id}/${member.key}`, why, rested);
        if (!why) {
          const entry = isMap(value[id]) ? (value[id] as Values) : {};
          set({ ...value, [id]: { ...entry, [member.key]: to } });
        }
      },
      reset: () => {
        this.#forget(`${def.key}/`);
        this.#setValue(def, undefined);
      },
    });
  }

  #own(device: string, def: SettingDef): unknown {
    const own = this.#change.perDevice[device]?.[def.key];
    return own !== undefined ? own : devicesOf(this.group, this.schema.model).find((one) => one.device === device)?.values?.[def.key];
  }

  #setOwn(device: string, def: SettingDef, to: unknown, why: { raw: string; text: string } | undefined, rested: boolean): void {
    this.#ownOpen = true;
    this.#remember(`${device}/${def.key}`, why, rested);
    if (why) {
      return;
    }
    const now = devicesOf(this.group, this.schema.model).find((one) => one.device === device)?.values?.[def.key];
    const { [device]: before = {}, ...others } = this.#change.perDevice;
    const { [def.key]: _, ...rest } = before as Record<string, unknown>;
    const after = same(to, now ?? "") || same(to, now) ? rest : { ...rest, [def.key]: to };
    this.#write({ perDevice: Object.keys(after).length ? { ...others, [device]: after } : others });
  }

  #setValue(def: SettingDef, value: unknown): void {
    const { [def.key]: _, ...others } = this.#change.values;
    this.#write({ values: value === undefined ? others : { ...others, [def.key]: value } });
  }

  #write(part: Partial<SettingsChange>): void {
    write({ ...this.#change, ...part });
    this.requestUpdate();
  }

  #remember(path: string, why: { raw: string; text: string } | undefined, rested: boolean): void {
    clearTimeout(this.#timer);
    if (!why) {
      this.#wrong.delete(path);
    } else {
      this.#wrong.set(path, { ...why, told: rested || (this.#wrong.get(path)?.told ?? false) });
      this.#timer = setTimeout(() => {
        this.#wrong.forEach((one) => (one.told = true));
        this.requestUpdate();
      }, rest);
    }
    this.requestUpdate();
  }

  #forget(prefix: string): void {
    [...this.#wrong.keys()].filter((path) => path === prefix || (prefix.endsWith("/") && path.startsWith(prefix))).forEach((path) => this.#wrong.delete(path));
  }

  #discard(): void {
    this.#wrong.clear();
    this.#ownOpen = false;
    discard(this.group, this.schema.model);
  }
}
