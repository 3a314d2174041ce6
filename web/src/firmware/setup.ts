import { html, nothing, type PropertyValues } from "lit";
import { customElement, property, state as reactive } from "lit/decorators.js";
import { EngineError } from "../engine/client";
import type { FirmwareImage, FirmwareOptions, FirmwarePlan, Job } from "../engine.gen";
import { engine } from "../engine/start";
import { bones, empty } from "../parts/empty";
import { groupTitle, jobs, lamps, live } from "../parts/job";
import { note } from "../parts/note";
import { recall, keep } from "../prefs";
import { go, href } from "../route";
import { attempt, tell } from "../shell/toasts";
import { state } from "../state";
import { View } from "../view";
import { base64, check, WrongFile } from "./file";
import { fits } from "./fits";
import { imageCard, pick } from "./image";
import { planCard } from "./plan";
import "./board.css";
import "./firmware.css";

interface Trouble {
  text: string;
  next: string;
}

/** How long choices must rest before the plan is made again. */
const rest = 400;

const defaults: FirmwareOptions = {
  profile: recall("firmware-profile") ?? "wi-fi",
  canary: 0, percent: 0, maxUnavailable: 0, confirmWithin: 0, soak: 0, threshold: 0,
  hold: false, at: 0, devices: [], takeOver: false,
};

function trouble(reason: unknown): Trouble {
  return {
    text: reason instanceof Error ? reason.message : String(reason),
    next: reason instanceof EngineError || reason instanceof WrongFile ? reason.next : "",
  };
}

/** Before the update: what the file is, whom it fits, what it would take. */
@customElement("ll-firmware")
export class FirmwareSetup extends View {
  @property({ attribute: false }) group = "";
  @reactive() private chosen = "";
  @reactive() private kept: FirmwareImage[] = [];
  @reactive() private image: FirmwareImage | undefined;
  /** what is being done with the file, in words */
  @reactive() private doing = "";
  @reactive() private wrong: Trouble | undefined;
  @reactive() private options = defaults;
  @reactive() private plan: FirmwarePlan | undefined;
  @reactive() private planning = false;
  @reactive() private refused: Trouble | undefined;
  @reactive() private starting = false;
  #asked = false;
  #plans = 0;
  #timer = 0;

  /** The group of the address, the one that was chosen, or the only one. */
  get #group(): string {
    const groups = this.#groups;
    return this.group || this.chosen || (groups.length === 1 ? groups[0]!.name : "");
  }

  get #groups() {
    return [...state.groups.values()].filter((group) => !group.ended && (group.members ?? []).length > 0);
  }

  protected override willUpdate(changed: PropertyValues<this>): void {
    if (state.ready && !this.#asked) {
      this.#asked = true;
      engine.firmwareImages().then((images) => (this.kept = images ?? []), () => {}); // a file can still be chosen
    }
    if (changed.has("group") && changed.get("group") !== undefined) {
      this.#replan(0);
    }
  }

  protected override render() {
    const group = state.groups.get(this.#group);
    const members = (group?.members ?? []).map((id) => state.devices.get(id));
    return html`<div class="head">
        <div>
          <h1>Update firmware</h1>
          <p data-testid="firmware-summary">${!state.ready ? "Starting the engine" : group ? `${group.title} · ${lamps(members)}` : "One transfer reaches all lamps of a group."}</p>
        </div>
        ${!this.group && this.#groups.length > 1 ? html`<div class="acts">${this.#groupChoice()}</div>` : nothing}
      </div>
      ${!state.ready ? bones() : this.#groups.length === 0 ? this.#nobody() : this.#body()}`;
  }

  #nobody() {
    return empty("group", "No group has a lamp yet", "Firmware goes to all lamps of a group at once. Join some first.",
      html`<a class="btn go" data-testid="group-choose" href=${href("devices")}>To the devices</a>`);
  }

  #body() {
    const running = jobs().find((job) => job.kind === "firmware" && job.group === this.#group && live(job));
    if (running) {
      return note({ tone: "busy", icon: "wait", title: `${groupTitle(this.#group)} is being updated.`, text: "One update at a time: look at it, or stop it first.", action: { word: "Open the board", testid: "firmware-running", run: () => go("jobs", running.id) } });
    }
    return html`${this.image ? imageCard(this.image, () => this.#forget()) : pick({ doing: this.doing, wrong: this.wrong, kept: this.kept, take: (file) => void this.#take(file), use: (image) => this.#use(image) })}
      ${this.image && !this.image.problem ? (this.#group ? this.#planned(this.image) : note({ tone: "busy", icon: "info", title: "Which group is it for?", text: "Choose it above." })) : nothing}`;
  }

  #groupChoice() {
    return html`<select class="input" aria-label="Group to update" data-testid="firmware-group" .value=${this.chosen} @change=${(event: Event) => { this.chosen = (event.target as HTMLSelectElement).value; this.#replan(0); }}>
      <option value="">Choose a group</option>
      ${this.#groups.map((group) => html`<option value=${group.name} ?selected=${group.name === this.chosen}>${group.title}</option>`)}
    </select>`;
  }

  #planned(image: FirmwareImage) {
    if (this.refused) {
      return note({ tone: "fail", icon: "fail", testid: "firmware-plan-problem", title: this.refused.text, text: this.refused.next, action: { word: "Ask again", testid: "firmware-again", run: () => this.#replan(0) } });
    }
    return html`${planCard({ plan: this.plan, options: this.options, planning: this.planning, starting: this.starting, group: groupTitle(this.#group), asked: state.planning.get(this.#group), change: (part) => this.#change(part), start: () => void this.#start(image) })}
      ${this.plan ? fits(this.plan, () => this.#change({ takeOver: true }), () => this.#replan(0)) : nothing}`;
  }

  async #take(file: File): Promise<void> {
    this.wrong = undefined;
    try {
      await check(file);
      this.doing = "Reading the file";
      const text = await base64(file);
      this.doing = "Checking its digest and its signature";
      this.#use(await engine.inspectFirmware(text));
    } catch (reason) {
      this.wrong = trouble(reason);
    }
    this.doing = "";
  }

  #use(image: FirmwareImage): void {
    this.image = image;
    this.wrong = undefined;
    this.#replan(0);
    this.#goTo("#image-name");
  }

  #forget(): void {
    this.image = this.plan = this.refused = undefined;
    this.options = { ...defaults, profile: this.options.profile };
    this.#asked = false;
    this.#goTo("#firmware-file");
  }

  /** Moves the focus on from a control that has gone. */
  #goTo(selector: string): void {
    void this.updateComplete.then(() => this.querySelector<HTMLElement>(selector)?.focus());
  }

  #change(part: Partial<FirmwareOptions>): void {
    this.options = { ...this.options, ...part };
    if (part.profile) {
      keep("firmware-profile", part.profile);
    }
    this.#replan(rest);
  }

  /** Asks the devices again, once the choices rest. */
  #replan(wait: number): void {
    clearTimeout(this.#timer);
    this.refused = undefined;
    if (this.image && !this.image.problem && this.#group) {
      this.planning = true;
      this.#timer = setTimeout(() => void this.#plan(this.image!), wait);
    }
  }

  async #plan(image: FirmwareImage): Promise<void> {
    const mine = ++this.#plans;
    state.planning.delete(this.#group); // what the plan before has asked says nothing
    if (this.plan?.group !== this.#group || this.plan.image.digest !== image.digest) {
      this.plan = undefined;
    }
    try {
      const plan = await engine.planFirmware(this.#group, image.digest, this.options);
      if (mine === this.#plans) {
        this.plan = plan;
        this.image = plan.image; // the devices told which keys they trust
      }
    } catch (reason) {
      if (mine === this.#plans) {
        this.refused = trouble(reason);
      }
    }
    if (mine === this.#plans) {
      this.planning = false;
    }
  }

  async #start(image: FirmwareImage): Promise<void> {
    this.starting = true;
    const job: Job | undefined = await attempt(engine.startFirmware(this.#group, image.digest, this.options));
    this.starting = false;
    if (job) {
      tell(`${groupTitle(this.#group)}: the update has begun.`);
      go("jobs", job.id);
    }
  }
}
