import { html, nothing } from "lit";
import { customElement, property, state as reactive } from "lit/decorators.js";
import type { SettingsChange, SettingsRow, SettingsRun } from "../engine.gen";
import { engine } from "../engine/start";
import { bytes } from "../firmware/units";
import { count } from "../format";
import { icon } from "../icons";
import { askedInWords } from "../parts/asked";
import { bones, empty } from "../parts/empty";
import { groupTitle, lamps } from "../parts/job";
import { note } from "../parts/note";
import { stats } from "../parts/stats";
import { go, href } from "../route";
import { attempt, tell } from "../shell/toasts";
import { state } from "../state";
import { View } from "../view";
import { status } from "../words";
import { discard, draft, schemaOf, schemas, trouble, write, type Trouble } from "./data";
import { difference, kinds } from "./diff";
import { definition } from "./values";
import { when } from "./when";

const takes = (row: SettingsRow): boolean => row.state === "planned" || row.state === "checked";

/** The change before it is made: what it does to each device, tried on the devices, and when. */
@customElement("ll-settings-plan")
export class SettingsPlan extends View {
  @property({ attribute: false }) group = "";
  @reactive() private run: SettingsRun | undefined;
  @reactive() private doing: "" | "planning" | "checking" | "switching" = "";
  @reactive() private checked = false;
  @reactive() private wrong: Trouble | undefined;
  #planned = "";

  protected override willUpdate(): void {
    const change = draft(this.group);
    if (state.ready) {
      schemas(this.group);
    }
    if (state.ready && change && this.#content(change) !== this.#planned) {
      this.#planned = this.#content(change);
      void this.#ask(change, "planning");
    }
  }

  /** What the plan depends on: not when, nor with how many. */
  #content(change: SettingsChange): string {
    return JSON.stringify({ ...change, in: 0, at: 0, confirmWithin: 0, quorum: 0 });
  }

  async #ask(change: SettingsChange, doing: "planning" | "checking"): Promise<void> {
    const mine = this.#planned;
    this.doing = doing;
    this.wrong = undefined;
    state.planning.delete(this.group); // of the plan before
    try {
      const run = await (doing === "planning" ? engine.planSettings(change) : engine.checkSettings(change));
      if (mine === this.#planned) {
        this.run = run;
        this.checked = doing === "checking";
      }
    } catch (reason) {
      if (mine === this.#planned) {
        this.wrong = trouble(reason);
        this.checked = false;
      }
    }
    if (mine === this.#planned) {
      this.doing = "";
    }
  }

  protected override render() {
    const change = draft(this.group);
    const title = groupTitle(this.group);
    if (!change) {
      return html`<div class="head"><h1>Change of ${title}</h1></div>
        ${empty("sliders", "No change is being written", "Change some settings first; then you see here what that does to each device.", html`<a class="btn go" data-testid="change-back" href=${href("settings", this.group)}>To the settings</a>`)}`;
    }
    const run = this.run;
    const rows = run?.rows ?? [];
    const taking = rows.filter(takes);
    const drifted = rows.filter((row) => row.state === "drifted");
    return html`<div class="head">
        <div><h1>Change of ${title}</h1>
          <p data-testid="change-summary">${run ? `${taking.length} of ${count(rows.length, "device")} take part` : "What it does to each device"} · nothing has been changed yet</p></div>
        <div class="acts"><a class="btn" data-testid="change-back" href=${href("settings", this.group, this.#links(change) ? "links" : "")}>${icon("edit")}Go on writing</a></div>
      </div>
      <div class="screen" data-testid="change" data-model=${change.model} data-devices=${taking.length} data-left=${rows.length - taking.length} aria-busy=${this.doing !== ""}>
        <div role="status">${this.doing ? html`<span class="st busy" data-testid="change-planning">${icon("wait")}${askedInWords(this.doing === "switching" ? undefined : state.planning.get(this.group), { planning: "asking the devices what they run", checking: "the devices try it, without keeping anything", switching: "handing it to the devices" }[this.doing])}</span>` : nothing}</div>
        ${this.wrong ? note({ tone: "fail", icon: "fail", testid: "change-problem", title: this.wrong.text, text: this.wrong.next, action: { word: "Try again", testid: "change-again", run: () => void this.#ask(change, "planning") } }) : nothing}
        ${run?.problem ? note({ tone: "warn", icon: "warn", testid: "change-problem", title: run.problem.text, text: run.problem.next }) : nothing}
        ${run?.network ? note({ tone: "warn", icon: "shield", testid: "change-network", title: "This may cut devices off.", text: "They try the new settings. Your confirmation has to reach them over these; where it does not, they go back by themselves." }) : nothing}
        ${drifted.length || change.mend ? this.#mend(change, drifted.length) : nothing}
        ${run ? html`${this.#numbers(run)} ${this.#checkResult()} ${difference(kinds(rows, schemaOf(this.group, change.model)))} ${this.#bar(change, run, taking.length)}` : this.wrong ? nothing : bones()}
      </div>`;
  }

  /** Whether it was written among the links. */
  #links(change: SettingsChange): boolean {
    const schema = schemaOf(this.group, change.model);
    return Object.values(change.perDevice).some((values) => ["buttons", "link", "group"].some((name) => (definition(schema, name)?.key ?? 0) in values));
  }

  #mend(change: SettingsChange, drifted: number) {
    return html`<label class="choice card"><input type="checkbox" data-testid="change-mend" .checked=${change.mend} @change=${(event: Event) => write({ ...change, mend: (event.target as HTMLInputElement).checked })} />
      <span><strong>Take drifted devices along</strong><span class="muted small">${drifted ? `Else ${count(drifted, "device is", "devices are")} left out. ` : ""}They go back to what was confirmed, with this change in it.</span></span></label>`;
  }

  #numbers(run: SettingsRun) {
    return stats([
      { value: String(run.predictedRequests), label: `messages in all, about${run.oneByOneRequests ? `; one by one ${run.oneByOneRequests}` : ""}`, testid: "change-requests" },
      { value: bytes(run.predictedBytes), label: "on the air in all, about, both ways", testid: "change-bytes" },
      { value: String((run.rows ?? []).filter((row) => row.shared).length), label: "get it in one message to the group", testid: "change-taking" },
      { value: String((run.rows ?? []).filter((row) => !row.shared && takes(row)).length), label: "get their own, one by one", testid: "change-one-by-one" },
    ]);
  }

  #checkResult() {
    if (!this.checked || !this.run) {
      return nothing;
    }
    const rows = this.run.rows ?? [];
    const fine = rows.filter((row) => row.state === "checked").length;
    const refused = rows.filter((row) => row.state === "refused" || row.state === "silent").length;
    return html`<div data-testid="change-checked" data-checked=${fine} data-refused=${refused}>${note({ tone: refused ? "warn" : "ok", icon: refused ? "warn" : "ok", title: refused ? `Dry run: ${fine} would take it, ${refused} would not.` : `Dry run: all ${fine} would take it.`, text: "Each computed for itself what it would run, and it is what was computed here. Nothing was kept." })}</div>`;
  }

  #bar(change: SettingsChange, run: SettingsRun, n: number) {
    return html`<section class="card form" aria-label="When">
      <div class="body">${when({ change, devices: n, write: (part) => write({ ...change, ...part }) })}</div>
      <div class="bar">
        <span class="muted">${this.checked ? status({ tone: "ok", icon: "ok", word: "tried on the devices" }) : "Try it first: the devices say whether they would take it."}</span>
        <span class="push row">
          <button class="btn" data-testid="change-check" ?disabled=${this.doing !== "" || !n} @click=${() => void this.#ask(change, "checking")}>${icon("shield")}Dry run</button>
          <button class="btn go" data-testid="settings-switch" ?disabled=${this.doing !== "" || !n || !!run.problem} aria-busy=${this.doing === "switching"} @click=${() => void this.#switch(change, n)}>${icon("play")}Switch settings${n ? ` of ${lamps((run.rows ?? []).filter(takes).map((row) => state.devices.get(row.device)))}` : ""}</button>
        </span>
      </div>
    </section>`;
  }

  /** Those that are shown to take part go together, or nobody does, unless fewer are enough. */
  async #switch(change: SettingsChange, shown: number): Promise<void> {
    this.doing = "switching";
    const job = await attempt(engine.applySettings({ ...change, quorum: change.quorum || shown }));
    this.doing = "";
    if (job) {
      tell(`${groupTitle(this.group)}: the change has begun.`);
      discard(this.group, change.model);
      go("jobs", job.id);
    }
  }
}
