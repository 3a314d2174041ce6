import { html, nothing } from "lit";
import { customElement, property, state as reactive } from "lit/decorators.js";
import type { SettingDef, SettingsDevice, SettingsSchema } from "../engine.gen";
import { listed } from "../format";
import { icon } from "../icons";
import { deviceName } from "../parts/job";
import { note } from "../parts/note";
import { go } from "../route";
import { state } from "../state";
import { View } from "../view";
import { control } from "./control";
import { devicesOf, draft, models, none, write } from "./data";
import { blank, common, definition, difference, isMap, merge, same, type Values } from "./values";

/** What buttons of switches and sensors do, and which lamps follow. */
@customElement("ll-links")
export class Links extends View {
  @property({ attribute: false }) group = "";
  /** patches by device */
  @reactive() private patches: Record<string, Values> = {};
  @reactive() private follow: number | undefined;

  /** What was chosen before one looked at the change. */
  override connectedCallback(): void {
    super.connectedCallback();
    this.patches = { ...draft(this.group)?.perDevice };
  }

  protected override render() {
    const all = models(this.group);
    const switches = all.filter((schema) => definition(schema, "buttons")?.ids);
    const sensors = all.filter((schema) => definition(schema, "link") && definition(schema, "group"));
    const lamps = all.find((schema) => definition(schema, "occupancy-link"));
    if (!switches.length && !sensors.length && !lamps) {
      return none(this.group, "group", "Nothing to link here", "A switch or a motion sensor that is a member of this group shows up here, with the lamps that follow it.");
    }
    return html`${switches.map((schema) => this.#switches(schema))} ${sensors.map((schema) => this.#sensors(schema))} ${lamps ? this.#lamps(lamps) : nothing}`;
  }

  #value(device: SettingsDevice): Values {
    return merge(device.values ?? {}, this.patches[device.device] ?? {}) as Values;
  }

  #set(device: SettingsDevice, value: Values): void {
    const patch = difference(device.values ?? {}, value);
    const { [device.device]: _, ...others } = this.patches;
    this.patches = isMap(patch) ? { ...others, [device.device]: patch } : others;
  }

  #groups(id: string, testid: string, label: string, value: unknown, set: (name: string) => void) {
    const names = [...state.groups.values()];
    const stranger = typeof value === "string" && value && !state.groups.has(value);
    return html`<select class="input" id=${id} data-testid=${testid} aria-label=${label} @change=${(event: Event) => set((event.target as HTMLSelectElement).value)}>
      <option value="" ?selected=${!value}>None</option>
      ${names.map((group) => html`<option value=${group.name} ?selected=${group.name === value}>${group.title}</option>`)}
      ${stranger ? html`<option value=${value as string} selected>${value as string}</option>` : nothing}
    </select>`;
  }

  #switches(schema: SettingsSchema) {
    const def = definition(schema, "buttons")!;
    return html`<section class="card form" aria-labelledby="switches">
      <div class="sect"><h2 id="switches">${schema.title || "Switches"}: what the buttons do</h2></div>
      <div class="body">${devicesOf(this.group, schema.model).map((device) => this.#switch(device, def))}</div>
      ${this.#bar(schema, "link-plan-switches")}
    </section>`;
  }

  #switch(device: SettingsDevice, def: SettingDef) {
    const [low = 0, high = 0] = def.ids ?? [];
    const value = this.#value(device);
    const buttons = isMap(value[def.key]) ? (value[def.key] as Values) : {};
    return html`<div class="linked" data-testid="link-switch" data-device=${device.device}>
      <h3>${deviceName(device.device)}</h3>
      <div class="scroll"><table>
        <thead><tr><th>Button</th><th>Group</th><th>Does</th><th>Scene</th></tr></thead>
        <tbody>${Array.from({ length: high - low + 1 }, (_, i) => low + i).map((id) => this.#button(device, def, buttons, id))}</tbody>
      </table></div>
    </div>`;
  }

  #button(device: SettingsDevice, def: SettingDef, buttons: Values, id: number) {
    const member = (name: string) => (def.members ?? []).find((one) => one.name === name);
    const [group, action, scene] = [member("group"), member("action"), member("scene")];
    if (!group || !action) {
      return nothing;
    }
    const entry = isMap(buttons[id]) ? (buttons[id] as Values) : {};
    const name = `${deviceName(device.device)}, button ${id}`;
    const whole = this.#value(device);
    const put = (to: Values | undefined) => {
      const { [id]: _, ...others } = buttons;
      this.#set(device, { ...whole, [def.key]: to ? { ...others, [id]: to } : others });
    };
    const chosen = entry[group.key];
    const before = isMap(device.values?.[def.key]) ? (device.values[def.key] as Values)[id] : undefined;
    return html`<tr class=${same(before, buttons[id]) ? "" : "changed"} data-testid="link-button" data-button=${id}>
      <td><strong>${id}</strong></td>
      <td>${this.#groups(`link-${device.device}-${id}`, "link-group", `${name}: group`, chosen, (to) => put(to ? { [action.key]: action.default ?? 0, ...(scene ? { [scene.key]: scene.default ?? 0 } : {}), ...entry, [group.key]: to } : undefined))}</td>
      <td>${chosen ? control({ def: action, id: `action-${device.device}-${id}`, testid: "link-action", value: entry[action.key] ?? action.default, label: `${name}: what it does`, set: (to) => put({ ...entry, [action.key]: to }) }) : html`<span class="muted">nothing</span>`}</td>
      <td>${chosen && scene && Number(entry[action.key]) === 3 ? control({ def: scene, id: `scene-${device.device}-${id}`, testid: "link-scene", value: entry[scene.key] ?? scene.default, label: `${name}: scene`, set: (to, wrong) => { if (!wrong) put({ ...entry, [scene.key]: to }); } }) : html`<span class="muted">–</span>`}</td>
    </tr>`;
  }

  #sensors(schema: SettingsSchema) {
    const [group, link] = [definition(schema, "group")!, definition(schema, "link")!];
    return html`<section class="card form" aria-labelledby="sensors">
      <div class="sect"><h2 id="sensors">${schema.title || "Sensors"}: whom they tell</h2></div>
      <div class="scroll"><table>
        <thead><tr><th>Sensor</th><th>Tells</th><th>Number; lamps with it follow</th></tr></thead>
        <tbody>${devicesOf(this.group, schema.model).map((device) => {
          const value = this.#value(device);
          return html`<tr class=${this.patches[device.device] ? "changed" : ""} data-testid="link-sensor" data-device=${device.device}>
            <td><strong>${deviceName(device.device)}</strong></td>
            <td>${this.#groups(`tells-${device.device}`, "link-sensor-group", `${deviceName(device.device)}: tells`, value[group.key], (to) => this.#set(device, { ...value, [group.key]: to }))}</td>
            <td>${control({ def: link, id: `number-${device.device}`, testid: "link-number", value: value[link.key] ?? link.default, label: `${deviceName(device.device)}: number`, set: (to, wrong) => { if (!wrong) this.#set(device, { ...value, [link.key]: to }); } })}</td>
          </tr>`;
        })}</tbody>
      </table></div>
      ${this.#bar(schema, "link-plan-sensors")}
    </section>`;
  }

  /** A change has one model's devices in it. */
  #bar(schema: SettingsSchema, testid: string) {
    const here = devicesOf(this.group, schema.model).filter((device) => this.patches[device.device]);
    const plan = () => {
      const perDevice = Object.fromEntries(here.map((device) => [device.device, this.patches[device.device]!]));
      write({ ...blank(this.group, schema.model), perDevice, devices: here.map((device) => device.device) });
      go("settings", this.group, "change");
    };
    const mute = devicesOf(this.group, schema.model).filter((device) => (state.devices.get(device.device)?.groups ?? []).some((one) => one.group === this.group && one.mute));
    return html`${mute.length
        ? html`<div class="body">${note({ tone: "warn", icon: "warn", testid: "link-mute", title: `${listed(mute.map((device) => deviceName(device.device)))} may not send here.`, text: "Ask an admin to allow devices of this model to send in the group; then take them out of it and join them again." })}</div>`
        : nothing}
      <div class="bar"><span class="muted">${here.length ? `${here.length} to change. Nothing has been sent yet.` : "They must be members of the group they tell."}</span>
      <span class="push row"><button class="btn go" data-testid=${testid} ?disabled=${!here.length} @click=${plan}>Look at the change${icon("next")}</button></span></div>`;
  }

  #lamps(schema: SettingsSchema) {
    const def = definition(schema, "occupancy-link")!;
    const now = common(def, devicesOf(this.group, schema.model));
    const value = this.follow ?? (now.mixed ? undefined : now.value);
    const changed = this.follow !== undefined && (now.mixed || this.follow !== now.value);
    const plan = () => {
      write({ ...blank(this.group, schema.model), values: { [def.key]: this.follow } });
      go("settings", this.group, "change");
    };
    return html`<section class="card form" aria-labelledby="follow">
      <div class="sect"><h2 id="follow">${schema.title || "Lamps"}: whom they follow</h2></div>
      <div class="body"><div class="field"><label for="link-follow">Sensors with the number</label>
        <span class="unit">${control({ def, id: "link-follow", testid: "link-follow", value, mixed: now.mixed && this.follow === undefined, set: (to, wrong) => { if (!wrong) this.follow = Number(to); } })}</span>
        <span class="hint">${def.help} Now: ${now.text}.</span></div></div>
      <div class="bar"><span class="muted">All ${devicesOf(this.group, schema.model).length} together, in one message.</span>
        <span class="push row"><button class="btn go" data-testid="link-plan-lamps" ?disabled=${!changed} @click=${plan}>Look at the change${icon("next")}</button></span></div>
    </section>`;
  }
}
