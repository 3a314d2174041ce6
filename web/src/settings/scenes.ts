import { html, nothing } from "lit";
import { customElement, property, state as reactive } from "lit/decorators.js";
import type { RollCall, SettingDef, SettingsDevice, SettingsSchema } from "../engine.gen";
import { engine } from "../engine/start";
import { count, listed } from "../format";
import { icon } from "../icons";
import { deviceName } from "../parts/job";
import { said } from "../parts/light";
import { note } from "../parts/note";
import { go } from "../route";
import { attempt } from "../shell/toasts";
import { state } from "../state";
import { View } from "../view";
import { status } from "../words";
import { devicesOf, models, none, write } from "./data";
import { blank, definition, isMap, say } from "./values";

interface Stored {
  id: number;
  devices: SettingsDevice[];
}

/** Lighting scenes: stored early at each lamp, recalled by one message. */
@customElement("ll-scenes")
export class Scenes extends View {
  @property({ attribute: false }) group = "";
  @reactive() private fade = "";
  @reactive() private recalled: { scene: number; call: RollCall | undefined } | undefined;
  @reactive() private number = -1;
  @reactive() private asNow = false;
  @reactive() private level = 80;
  @reactive() private storeFade = 700;

  get #schema(): SettingsSchema | undefined {
    return models(this.group).find((schema) => definition(schema, "scenes")?.ids);
  }

  protected override render() {
    const schema = this.#schema;
    if (!schema) {
      return none(this.group, "bulb", "No lamp here stores scenes", "None of the members has scenes among its settings.");
    }
    const def = definition(schema, "scenes")!;
    const stored = this.#stored(schema, def);
    return html`<div class="screen" data-testid="scenes">
      <section class="card" aria-labelledby="scenes">
        <div class="sect"><h2 id="scenes">Recall a scene</h2><span class="muted small">one message; each lamp has its own level stored</span>
          <span class="push unit"><label for="scene-fade">Fade</label><select class="input" id="scene-fade" data-testid="scene-fade" @change=${(event: Event) => (this.fade = (event.target as HTMLSelectElement).value)}>
            <option value="">as stored</option>${[["1", "at once"], ["1000", "1 s"], ["3000", "3 s"], ["10000", "10 s"]].map(([value, word]) => html`<option value=${value!} ?selected=${this.fade === value}>${word}</option>`)}</select></span></div>
        ${stored.length ? html`<ul class="scenes">${stored.map((one) => this.#scene(schema, def, one))}</ul>` : html`<p class="body muted">No scene is stored yet. Store the first one below.</p>`}
        <div role="status" class=${this.recalled ? "body" : ""}>${this.#result()}</div>
      </section>
      ${this.#store(schema, stored)}
    </div>`;
  }

  #stored(schema: SettingsSchema, def: SettingDef): Stored[] {
    const by = new Map<number, SettingsDevice[]>();
    for (const device of devicesOf(this.group, schema.model)) {
      const scenes = device.values?.[def.key];
      for (const id of isMap(scenes) ? Object.keys(scenes) : []) {
        by.set(Number(id), [...(by.get(Number(id)) ?? []), device]);
      }
    }
    return [...by].map(([id, devices]) => ({ id, devices })).sort((a, b) => a.id - b.id);
  }

  #scene(schema: SettingsSchema, def: SettingDef, one: Stored) {
    const level = definition({ ...schema, defs: def.members ?? [] }, "level");
    const levels = one.devices.map((device) => (device.values[def.key] as Record<string, Record<string, unknown>>)[one.id]?.[level?.key ?? 1]).filter((value) => typeof value === "number") as number[];
    const [low, high] = [Math.min(...levels), Math.max(...levels)];
    const words = levels.length === 0 ? "" : low === high ? say(level, low) : `${low} to ${say(level, high)}`;
    const all = devicesOf(this.group, schema.model).length;
    const busy = this.recalled !== undefined && this.recalled.call === undefined;
    return html`<li data-testid="scene" data-scene=${one.id} data-devices=${one.devices.length}>
      <button class="scene ${this.recalled?.scene === one.id ? "on" : ""}" data-testid="scene-recall" ?disabled=${busy} aria-label="Recall scene ${one.id}: ${words}" @click=${() => void this.#recall(one.id)}>
        ${icon("bulb")}<strong>Scene ${one.id}</strong><span>${words}</span>
        <span class="small muted">${one.devices.length === all ? `all ${all} lamps` : `${one.devices.length} of ${all} lamps`}</span>
      </button>
    </li>`;
  }

  /** One message, and who followed it. */
  #result() {
    if (!this.recalled) {
      return nothing;
    }
    const live = state.groups.get(this.group)?.rollCall;
    const call = this.recalled.call ?? (live?.kind === "scene" ? live : undefined);
    if (!call) {
      return html`<p>${status({ tone: "busy", icon: "wait", word: "sending" })}</p>`;
    }
    const missing = (call.answers ?? []).filter((answer) => answer.state !== "verified");
    const words = said(call);
    return html`<div class="result" data-testid="scene-result" data-followed=${call.verified} data-devices=${(call.answers ?? []).length}>
      <p><strong>Scene ${this.recalled.scene}</strong> ${status({ ...words, word: `${words.word} heard it` })}</p>
      ${call.ended && missing.length ? note({ tone: "fail", icon: "fail", title: `${listed(missing.map((answer) => deviceName(answer.device)))} did not hear it.`, text: [missing[0]?.problem?.text, missing[0]?.problem?.next].filter(Boolean).join(" ") || "Check the power, then recall the scene again.", action: { word: "Recall again", testid: "scene-recall", run: () => void this.#recall(this.recalled!.scene) } }) : nothing}
    </div>`;
  }

  async #recall(scene: number): Promise<void> {
    this.recalled = { scene, call: undefined };
    const call = await attempt(engine.recallScene(this.group, scene, Number(this.fade) || 0));
    this.recalled = call ? { scene, call } : undefined;
  }

  /** Levels that the lamps said last. */
  get #levels(): Map<string, number> {
    const answers = state.groups.get(this.group)?.rollCall?.answers ?? [];
    return new Map(answers.filter((answer) => answer.state === "verified").map((answer) => [answer.device, answer.on ? answer.level : 0]));
  }

  #store(schema: SettingsSchema, stored: Stored[]) {
    const [low = 0, high = 15] = definition(schema, "scenes")?.ids ?? [];
    const taken = new Set(stored.map((one) => one.id));
    const ids = Array.from({ length: high - low + 1 }, (_, i) => low + i);
    const chosen = this.number >= 0 ? this.number : (ids.find((id) => !taken.has(id)) ?? low);
    const told = this.#levels.size;
    return html`<section class="card form" aria-labelledby="store">
      <div class="sect"><h2 id="store">Store a scene</h2></div>
      <div class="body"><div class="fields">
        <div class="field"><label for="scene-number">Scene</label>
          <span class="unit"><select class="input" id="scene-number" data-testid="scene-number" @change=${(event: Event) => (this.number = Number((event.target as HTMLSelectElement).value))}>${ids.map((id) => html`<option value=${id} ?selected=${id === chosen}>${id}${taken.has(id) ? ", stored" : ""}</option>`)}</select></span></div>
        <div class="field"><span class="label" id="scene-level-of">Level</span>
          <div class="seg" role="group" aria-labelledby="scene-level-of">
            <button aria-pressed=${!this.asNow} data-testid="scene-same" @click=${() => (this.asNow = false)}>The same for all</button>
            <button aria-pressed=${this.asNow} data-testid="scene-as-now" ?disabled=${!told} @click=${() => (this.asNow = true)}>As each is now</button>
          </div>
          ${this.asNow
            ? html`<span class="hint">What ${count(told, "lamp")} said last. Make a roll call first if they changed since.</span>`
            : html`<span class="unit"><input class="input" aria-label="Level" data-testid="scene-level" type="number" inputmode="numeric" min="0" max="100" .value=${String(this.level)} @input=${(event: Event) => (this.level = (event.target as HTMLInputElement).valueAsNumber)} /><span>%, 0 is off</span></span>
                ${this.#levelWrong ? html`<span class="error" role="alert" data-testid="scene-problem">${icon("fail")}<span>A whole number from 0 to 100.</span></span>` : nothing}`}</div>
        <div class="field"><label for="scene-store-fade">Fade time</label>
          <span class="unit"><input class="input" id="scene-store-fade" data-testid="scene-store-fade" type="number" inputmode="numeric" min="0" max="60000" step="100" .value=${String(this.storeFade)} @input=${(event: Event) => (this.storeFade = (event.target as HTMLInputElement).valueAsNumber || 0)} /><span>ms</span></span></div>
      </div></div>
      <div class="bar"><span class="muted">The lamps keep it; recalling it later takes one short message.</span>
        <span class="push row"><button class="btn go" data-testid="scene-plan" ?disabled=${this.#levelWrong && !this.asNow} @click=${() => void this.#plan(schema, chosen)}>Look at the change${icon("next")}</button></span></div>
    </section>`;
  }

  get #levelWrong(): boolean {
    return !Number.isInteger(this.level) || this.level < 0 || this.level > 100;
  }

  async #plan(schema: SettingsSchema, scene: number): Promise<void> {
    const def = definition(schema, "scenes")!;
    const member = (name: string) => definition({ ...schema, defs: def.members ?? [] }, name)?.key ?? 0;
    const fade = { [member("fade")]: this.storeFade };
    if (this.asNow) {
      const perDevice: Record<string, Record<string, unknown>> = {};
      const here = new Set(devicesOf(this.group, schema.model).map((one) => one.device));
      this.#levels.forEach((level, device) => {
        if (here.has(device)) {
          perDevice[device] = { [def.key]: { [scene]: { [member("level")]: level, ...fade } } };
        }
      });
      write({ ...blank(this.group, schema.model), perDevice, devices: Object.keys(perDevice) });
    } else {
      const change = await attempt(engine.storeScene(this.group, scene, { [member("level")]: this.level, ...fade }));
      if (!change) {
        return;
      }
      write(change);
    }
    go("settings", this.group, "change");
  }
}
