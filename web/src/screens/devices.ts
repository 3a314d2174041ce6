import { html, nothing } from "lit";
import { customElement, state as reactive } from "lit/decorators.js";
import { guard } from "lit/directives/guard.js";
import { repeat } from "lit/directives/repeat.js";
import { blinking, discover, forget, join, joinable, leave, release } from "../actions";
import { openDevice } from "../dialogs/device";
import { openImport } from "../dialogs/import";
import type { Device, Job } from "../engine.gen";
import { count, deviceID } from "../format";
import { icon } from "../icons";
import { blinkButton } from "../parts/blink-button";
import { bones, empty } from "../parts/empty";
import { groupTitle, jobs, live } from "../parts/job";
import "../parts/job-card";
import { href } from "../route";
import { state } from "../state";
import { View } from "../view";
import { deviceState, status } from "../words";
import "./devices.css";

type Filter = "all" | "waiting" | "joined" | "failed" | "unlabelled";

const filters: readonly [Filter, string, (device: Device) => boolean][] = [
  ["all", "All", () => true],
  ["waiting", "Not joined", (device) => device.labelKnown && device.groups.length === 0],
  ["joined", "Joined", (device) => device.groups.length > 0],
  ["failed", "Failed", (device) => device.state === "failed"],
  ["unlabelled", "Without a label", (device) => !device.labelKnown],
];

/** Labels in, devices found, chosen and joined. */
@customElement("ll-devices")
export class Devices extends View {
  @reactive() private filter: Filter = "all";
  @reactive() private query = "";
  /** undefined: nothing was chosen by hand, all that are found and can join are */
  @reactive() private picked: Set<string> | undefined;
  @reactive() private group = "";
  @reactive() private seeking = false;
  @reactive() private dismissed = "";

  get #group(): string {
    return this.group || [...state.groups.keys()][0] || "";
  }

  get #chosen(): Device[] {
    const picked = this.picked;
    return state.sorted.filter((device) => (picked ? picked.has(device.id) : device.found && joinable(device, this.#group)));
  }

  protected override render() {
    const all = state.sorted;
    const joined = all.filter((device) => device.groups.length > 0).length;
    const labels = all.filter((device) => device.labelKnown).length;
    const found = all.filter((device) => device.found).length;
    const job = jobs().find((one) => ["join", "claim"].includes(one.kind));
    const showJob = job && (live(job) || (job.id !== this.dismissed && Date.now() - job.ended < 600_000));
    return html`
      <div class="head">
        <div>
          <h1>Devices</h1>
          <p data-testid="devices-summary">${state.ready ? `${count(labels, "label")}, ${found} found on the network, ${joined} joined` : "Starting the engine"}</p>
        </div>
        <div class="acts">${this.#actions(all, job)}</div>
      </div>
      ${showJob ? html`<ll-job-card .job=${job} .onward=${this.#onward(job)} .dismiss=${() => (this.dismissed = job.id)}></ll-job-card>` : nothing}
      ${!state.ready ? bones() : all.length ? this.#table(all) : this.#empty()}`;
  }

  #onward(job: Job) {
    const main = this.#toJoin.length === 0;
    return job.group && job.done > 0 && !live(job) ? { word: "Open " + groupTitle(job.group), href: href("groups", job.group), main } : undefined;
  }

  /** What the join button would join. */
  get #toJoin(): Device[] {
    return this.#chosen.filter((device) => joinable(device, this.#group));
  }

  /** The main action is the next step on the way: import, discover, join. */
  #actions(all: Device[], job: Job | undefined) {
    const chosen = this.#toJoin;
    const joinNow = chosen.length > 0 && !(job && live(job));
    const discoverNow = all.length > 0 && !joinNow && !all.some((device) => device.found);
    return html`
      <button class="btn" data-testid="import-open" ?disabled=${!state.ready} @click=${openImport}>${icon("upload")}Import labels</button>
      <button class="btn ${discoverNow ? "go" : ""}" data-testid="discover" ?disabled=${!state.ready || this.seeking} aria-busy=${this.seeking} @click=${this.#discover}>
        ${icon("radar")}${this.seeking ? "Listening" : "Discover"}
      </button>
      ${state.groups.size > 1 ? this.#groupChoice() : nothing}
      ${all.length && this.#group
        ? html`<button class="btn ${joinNow ? "go" : ""}" data-testid="join" ?disabled=${!joinNow} @click=${() => this.#join(chosen)}>
            ${icon("group")}Join ${chosen.length || ""} to ${groupTitle(this.#group)}
          </button>`
        : nothing}`;
  }

  #groupChoice() {
    return html`<select class="input" aria-label="Group to join" data-testid="join-group" .value=${this.#group} @change=${(event: Event) => (this.group = (event.target as HTMLSelectElement).value)}>
      ${[...state.groups.values()].map((group) => html`<option value=${group.name} ?selected=${group.name === this.#group}>${group.title}</option>`)}
    </select>`;
  }

  #discover = async () => {
    this.seeking = true;
    await discover();
    this.seeking = false;
  };

  #join = async (devices: Device[]) => {
    await join(this.#group, devices);
    this.picked = undefined;
  };

  #empty() {
    return empty(
      "list",
      "No labels yet",
      "Every device carries a label with its identity and its secret. Import the list that came with them, then look which of them have power.",
      html`<button class="btn go" data-testid="empty-import" @click=${openImport}>${icon("upload")}Import labels</button>`,
    );
  }

  #table(all: Device[]) {
    const words = this.query.toLowerCase().split(/\s+/).filter(Boolean);
    const text = (device: Device) => `${device.name} ${device.place} ${device.id} ${deviceID(device.id)} ${device.model}`.toLowerCase();
    const test = filters.find(([name]) => name === this.filter)?.[2] ?? (() => true);
    const rows = all.filter((device) => test(device) && words.every((word) => text(device).includes(word)));
    const chosen = new Set(this.#chosen.map((device) => device.id));
    return html`<section class="card devices" aria-label="Devices">
      ${this.#tools(all)} ${this.#picked()}
      ${rows.length ? html`<div class="scroll"><table>
        <caption class="sr">Devices</caption>
        <thead><tr>
          <td>${this.#every(rows, chosen)}</td><th class="name">Device</th><th class="wide">Place</th><th>Step</th><th class="is">State</th><th class="end do"><span class="sr">Blink</span></th>
        </tr></thead>
        <tbody>${repeat(rows, (device) => device.id, (device) => this.#row(device, chosen.has(device.id)))}</tbody>
      </table></div>` : html`<p class="body muted" data-testid="devices-none">No device is like that.</p>`}
    </section>`;
  }

  #tools(all: Device[]) {
    return html`<div class="tools">
      <div class="chips" role="group" aria-label="Filter">
        ${filters.map(([name, word, test]) => {
          const n = all.filter(test).length;
          return n || name === this.filter
            ? html`<button class="chip" aria-pressed=${name === this.filter} data-testid="filter-${name}" @click=${() => (this.filter = name)}>${word} <b>${n}</b></button>`
            : nothing;
        })}
      </div>
      <input class="input push" type="search" placeholder="Name, place or id" aria-label="Search devices" data-testid="device-search" .value=${this.query} @input=${(event: Event) => (this.query = (event.target as HTMLInputElement).value)} />
    </div>`;
  }

  /** What can be done with devices that were chosen by hand. */
  #picked() {
    const devices = this.#chosen;
    return this.picked && devices.length
      ? html`<div class="picked"><span class="small muted" data-testid="selected-count">${devices.length} of ${state.devices.size} chosen</span><span class="push row">${this.#harm(devices)}</span></div>`
      : nothing;
  }

  /** Chooses all that are shown. */
  #every(rows: Device[], chosen: Set<string>) {
    const every = rows.length > 0 && rows.every((device) => chosen.has(device.id));
    const some = rows.some((device) => chosen.has(device.id));
    const all = (event: Event) => {
      const next = new Set(chosen);
      rows.forEach((device) => ((event.target as HTMLInputElement).checked ? next.add(device.id) : next.delete(device.id)));
      this.picked = next;
    };
    return html`<label class="tick"><input type="checkbox" .checked=${every} .indeterminate=${some && !every} aria-label="Choose all that are shown" data-testid="select-all" @change=${all} /></label>`;
  }

  #harm(devices: Device[]) {
    const members = devices.filter((device) => device.groups.some((one) => one.group === this.#group));
    const claimed = devices.filter((device) => device.claimed);
    const labels = devices.filter((device) => !device.claimed && device.labelKnown);
    const button = (word: string, testid: string, some: Device[], act: (some: Device[]) => Promise<boolean>) =>
      some.length
        ? html`<button class="btn sm" data-testid=${testid} @click=${async () => { if (await act(some)) { this.picked = undefined; } }}>${word} ${some.length}</button>`
        : nothing;
    return html`
      ${button("Remove from the group:", "leave", members, (some) => leave(this.#group, some))}
      ${button("Release", "release", claimed, release)} ${button("Forget", "forget", labels, forget)}`;
  }

  /** A row is drawn again only if something in it changed. */
  #row(device: Device, chosen: boolean) {
    return guard([device, chosen, blinking.has(device.id)], () => this.#cells(device, chosen));
  }

  #cells(device: Device, chosen: boolean) {
    const pick = () => {
      const next = new Set(this.#chosen.map((one) => one.id));
      if (!next.delete(device.id)) {
        next.add(device.id);
      }
      this.picked = next;
    };
    const name = device.name || device.model || device.id;
    return html`<tr class=${device.state === "failed" ? "fail" : ""} data-testid="device-row" data-device=${device.id} data-state=${device.state}>
      <td><label class="tick"><input type="checkbox" .checked=${chosen} aria-label="Choose ${name}" data-testid="device-select" @change=${pick} /></label></td>
      <td><button class="link" data-testid="device-open" @click=${() => openDevice(device.id)}><strong>${name}</strong><span class="id">${deviceID(device.id)}</span></button></td>
      <td class="wide">${device.place}</td>
      <td class="step" data-testid="device-step">${device.problem && device.state === "failed"
        ? html`<span class="why">${device.problem.text}</span><span class="next">${device.problem.next}</span>`
        : device.step || html`<span class="muted">${device.found ? "" : "not seen yet"}</span>`}</td>
      <td>${status(deviceState(device), "device-state")}</td>
      <td class="end">${device.labelKnown ? blinkButton(device) : nothing}</td>
    </tr>`;
  }
}
