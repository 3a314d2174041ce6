import { html, nothing } from "lit";
import { customElement, property, state as reactive } from "lit/decorators.js";
import { openDevice } from "../dialogs/device";
import type { Group, SettingsDevice, SettingsSchema, SettingsState } from "../engine.gen";
import { count, listed, minute } from "../format";
import { icon } from "../icons";
import { bones, empty } from "../parts/empty";
import { deviceName, jobs, lamps, live } from "../parts/job";
import { note } from "../parts/note";
import { go, href } from "../route";
import { state } from "../state";
import { View } from "../view";
import { status } from "../words";
import { devicesOf, draft, draftOf, keep, known, models, none, read, write } from "./data";
import "./emergency";
import "./form";
import { library } from "./library";
import "./links";
import { past } from "./past";
import "./plan";
import "./scenes";
import { openSettingsImport, save } from "./transfer";
import { blank } from "./values";
import { deviceOrder, deviceWord } from "./words";
import "../firmware/board.css";
import "./settings.css";

const tabs = [
  ["", "settings-tab-form", "Settings"],
  ["scenes", "settings-tab-scenes", "Scenes"],
  ["links", "settings-tab-links", "Links"],
  ["network", "settings-tab-network", "Network"],
  ["emergency", "settings-tab-emergency", "Emergency"],
] as const;

/** The settings of a group, page by page. */
@customElement("ll-settings")
export class SettingsHome extends View {
  @property({ attribute: false }) group = "";
  @property({ attribute: false }) page = "";
  @reactive() private model = "";

  protected override render() {
    const group = state.groups.get(this.group);
    if (!state.ready) {
      return html`<div class="head"><div><h1>Settings</h1><p>Starting the engine</p></div></div>${bones()}`;
    }
    if (!group) {
      return html`<div class="head"><h1>Settings</h1></div>
        ${empty("group", "There is no such group", "Perhaps it has another name now.", html`<a class="btn go" data-testid="group-all" href=${href("groups")}>All groups</a>`)}`;
    }
    if (this.page === "change") {
      return html`<ll-settings-plan class="screen" .group=${this.group}></ll-settings-plan>`;
    }
    return html`${this.#head(group)} ${this.#tabs()} ${this.#running()} ${this.#page(group)}`;
  }

  #head(group: Group) {
    const now = known(this.group);
    const members = (group.members ?? []).map((id) => state.devices.get(id));
    return html`<div class="head">
      <div>
        <h1>Settings of ${group.title}</h1>
        <p data-testid="settings-summary"><a data-testid="settings-group" href=${href("groups", this.group)}>${lamps(members)}</a> · ${now.reading || !now.at ? "asking them what they run" : `read ${minute(now.at)}`}</p>
      </div>
      <div class="acts">
        <button class="btn" data-testid="settings-again" ?disabled=${now.reading} aria-busy=${now.reading} @click=${() => void read(this.group)}>${icon("job")}Read again</button>
        ${this.page === ""
          ? html`<button class="btn" data-testid="settings-import" @click=${() => void openSettingsImport(this.group)}>${icon("upload")}Import</button>
              <span class="seg" role="group" aria-label="Export"><button data-testid="settings-export-csv" ?disabled=${!now.devices.length} @click=${() => void save(this.group, "csv")}>${icon("download")}CSV</button><button data-testid="settings-export-senml" ?disabled=${!now.devices.length} @click=${() => void save(this.group, "senml")}>${icon("download")}SenML</button></span>`
          : nothing}
      </div>
    </div>`;
  }

  #tabs() {
    return html`<nav class="tabs" aria-label="Settings">${tabs.map(([part, testid, word]) => html`<a href=${href("settings", this.group, part)} data-testid=${testid} aria-current=${this.page === part ? "page" : nothing}>${word}</a>`)}</nav>`;
  }

  #running() {
    const job = jobs().find((one) => one.kind === "settings" && one.group === this.group && live(one));
    return job
      ? note({ tone: "busy", icon: "wait", title: "A change is under way.", text: "Confirm it on its board, or the devices go back by themselves.", action: { word: "Open the board", testid: "settings-running", run: () => go("jobs", job.id) } })
      : nothing;
  }

  #page(group: Group) {
    if (!group.members?.length) {
      return empty("group", "No device has joined this group yet", "Choose devices and join them to the group; then their settings stand here.", html`<a class="btn go" data-testid="settings-join" href=${href("devices")}>To the devices</a>`);
    }
    switch (this.page) {
      case "scenes":
        return html`<ll-scenes class="screen" .group=${this.group}></ll-scenes>`;
      case "links":
        return html`<ll-links class="screen" .group=${this.group}></ll-links>`;
      case "network":
        return this.#network();
      case "emergency":
        return html`<ll-emergency class="screen" .group=${group}></ll-emergency>`;
      default:
        return this.#form();
    }
  }

  /** Settings that may cut devices off, with what keeps them from it. */
  #network() {
    const all = models(this.group).filter((schema) => (schema.defs ?? []).some((def) => def.network));
    return all.length
      ? html`<div class="screen" data-testid="network">
          ${note({ tone: "warn", icon: "shield", title: "A wrong value here cannot lock you out.", text: "They try the new settings. Your confirmation has to reach them over these; where it does not, they go back by themselves." })}
          ${all.map((schema) => html`<ll-settings-form network .group=${this.group} .schema=${schema}></ll-settings-form>`)}
        </div>`
      : none(this.group, "sliders", "No network settings here", "None of these devices has settings that concern the network.");
  }

  #form() {
    const now = known(this.group);
    const all = models(this.group);
    const chosen = all.find((one) => one.model === (this.model || draft(this.group)?.model)) ?? all[0];
    if (!chosen) {
      return html`${this.#trouble()}${now.at && !now.reading ? this.#none() : bones()}`;
    }
    return html`${this.#trouble()}
      ${all.length > 1 ? this.#models(all, chosen) : nothing}
      ${this.#stand(chosen)}
      ${library(this.group, chosen.model, draftOf(this.group, chosen.model))}
      <ll-settings-form .group=${this.group} .schema=${chosen}></ll-settings-form>
      ${this.#devices(chosen)} ${past(this.group)}`;
  }

  #none() {
    return known(this.group).trouble ? nothing : empty("sliders", "No device here has settings", "None of the members answered with settings that can be changed from here.", html`<a class="btn" data-testid="group-choose" href=${href("groups", this.group)}>To the group</a>`);
  }

  #trouble() {
    const why = known(this.group).trouble;
    return why ? note({ tone: "fail", icon: "fail", testid: "settings-problem", title: why.text, text: why.next, action: { word: "Read again", testid: "settings-again", run: () => void read(this.group) } }) : nothing;
  }

  #models(all: SettingsSchema[], chosen: SettingsSchema) {
    return html`<div class="seg models" role="group" aria-label="Model">${all.map((one) => html`<button aria-pressed=${one.model === chosen.model} data-testid="settings-model" data-model=${one.model} @click=${() => (this.model = one.model)}>${one.title || one.model} <b>${devicesOf(this.group, one.model).length}</b></button>`)}</div>`;
  }

  /** Whether they run what they should, and what to do about those that do not. */
  #stand(schema: SettingsSchema) {
    const devices = devicesOf(this.group, schema.model);
    const of = (one: SettingsState) => devices.filter((device) => device.state === one);
    const drifted = of("drifted");
    const silent = of("silent");
    const names = (some: SettingsDevice[]) => listed(some.map((one) => deviceName(one.device)));
    const keys = [...new Set(drifted.flatMap((one) => one.drift ?? []))].map((key) => (schema.defs ?? []).find((def) => def.key === key)?.title ?? `setting ${key}`);
    return html`
      <div class="chips counts">${deviceOrder.filter((one) => of(one).length).map((one) => html`<span data-testid="settings-count" data-state=${one} data-count=${of(one).length}>${status({ ...deviceWord(one), word: `${of(one).length} ${one === "ok" && !devices.some((device) => device.expected) ? "as found" : deviceWord(one).word}` })}</span>`)}</div>
      ${drifted.length
        ? note({ tone: "warn", icon: "warn", testid: "settings-drift", title: `${names(drifted)} ${drifted.length === 1 ? "runs" : "run"} other settings than were confirmed.`, text: html`Somebody changed ${keys.join(", ").toLowerCase()} elsewhere, or a device was reset. Until you decide, changes leave these out.
            <br /><button class="btn sm" data-testid="settings-keep" @click=${() => void keep(this.group, drifted.map((one) => one.device))}>Keep what runs</button>`, action: { word: "Bring back", testid: "settings-mend", run: () => this.#mend(schema, drifted) } })
        : nothing}
      ${silent.length
        ? note({ tone: "fail", icon: "fail", testid: "settings-silent", title: `${names(silent)} did not answer.`, text: silent[0]?.problem?.next || "Check the power, then read again.", action: { word: "Read again", testid: "settings-again", run: () => void read(this.group) } })
        : nothing}`;
  }

  #mend(schema: SettingsSchema, drifted: SettingsDevice[]): void {
    write({ ...blank(this.group, schema.model), devices: drifted.map((one) => one.device), mend: true });
    go("settings", this.group, "change");
  }

  #devices(schema: SettingsSchema) {
    const rows = devicesOf(this.group, schema.model).sort((a, b) => deviceOrder.indexOf(a.state) - deviceOrder.indexOf(b.state));
    const change = draftOf(this.group, schema.model);
    const tick = (id: string) => write({ ...change, devices: change.devices.includes(id) ? change.devices.filter((one) => one !== id) : [...change.devices, id] });
    return html`<section class="card"><details class="fold">
      <summary data-testid="settings-devices">${icon("open")}${count(rows.length, "device")} and what they run</summary>
      <div class="scroll"><table>
        <caption class="sr">Devices and how their settings stand</caption>
        <thead><tr><th>Change only</th><th>Device</th><th>Settings</th><th class="wide">Read</th></tr></thead>
        <tbody>${rows.slice(0, 200).map((one) => html`<tr class=${one.state === "silent" ? "fail" : ""} data-testid="settings-device" data-device=${one.device} data-state=${one.state}>
          <td><label class="tick"><input type="checkbox" data-testid="settings-only" aria-label="Change only ${deviceName(one.device)}" .checked=${change.devices.includes(one.device)} @change=${() => tick(one.device)} /></label></td>
          <td><button class="link" data-testid="run-device-open" @click=${() => openDevice(one.device)}><strong>${deviceName(one.device)}</strong></button></td>
          <td>${status(deviceWord(one.state))}${one.problem ? html`<span class="next">${one.problem.text} ${one.problem.next}</span>` : nothing}</td>
          <td class="wide muted">${one.at ? minute(one.at) : "never"}</td>
        </tr>`)}</tbody>
      </table></div>
    </details></section>`;
  }
}
