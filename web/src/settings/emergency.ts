import { html, nothing, type PropertyValues } from "lit";
import { customElement, property, state as reactive } from "lit/decorators.js";
import { openDevice } from "../dialogs/device";
import { confirm } from "../dialogs/confirm";
import type { Answer, EmergencyEntry, Group, Job, RollCall } from "../engine.gen";
import { engine } from "../engine/start";
import { download, fileName, stamp } from "../files";
import { byName, clock, count, listed } from "../format";
import { icon } from "../icons";
import { deviceName, jobs, lamps } from "../parts/job";
import "../parts/job-card";
import { sentTo } from "../parts/light";
import { note } from "../parts/note";
import { attempt } from "../shell/toasts";
import { state } from "../state";
import { View } from "../view";
import { answerState, status } from "../words";
import { known } from "./data";
import { resultWords } from "./words";

/** How long the second press may take. */
const patience = 15_000;

const isTest = (job: Job): boolean => job.kind === "emergency-function" || job.kind === "emergency-duration";

/** All light on, at once and in front of everything; and the tests of emergency lights. */
@customElement("ll-emergency")
export class Emergency extends View {
  @property({ attribute: false }) group!: Group;
  @reactive() private sure = false;
  @reactive() private sending: "" | "on" | "off" = "";
  @reactive() private result: { on: boolean; call: RollCall } | undefined;
  @reactive() private log: EmergencyEntry[] = [];
  @reactive() private chosen = new Set<string>();
  #timer = 0;
  #seen = "";

  protected override willUpdate(changed: PropertyValues<this>): void {
    const before = changed.get("group");
    if (before && before.name !== this.group.name) {
      this.result = undefined; // it was about that group
      this.log = [];
      this.chosen = new Set();
      this.sure = false;
    }
    const tests = jobs().filter((job) => isTest(job) && job.group === this.group.name);
    const now = [this.group.name, ...tests.map((job) => `${job.id}/${job.state}/${job.done}/${job.failed}`)].join(" ");
    if (state.ready && now !== this.#seen) {
      this.#seen = now;
      void this.#read();
    }
  }

  async #read(): Promise<void> {
    try {
      this.log = (await engine.emergencyLog(this.group.name)) ?? [];
    } catch {
      // the log stays as it is
    }
  }

  /** Whether the last command of this kind that is known switched it on. */
  get #on(): boolean {
    if (this.result) {
      return this.result.on;
    }
    return this.log.find((entry) => entry.kind === "command")?.result === "on";
  }

  protected override render() {
    return html`<div class="screen" data-testid="emergency" data-on=${this.#on}>
      ${this.#command()} ${this.#receipts()} ${this.#tests()} ${this.#log()}
    </div>`;
  }

  #command() {
    const on = this.#on;
    const members = (this.group.members ?? []).map((id) => state.devices.get(id)).filter((device) => !device || device.model.startsWith("lamp"));
    const busy = this.sending !== "";
    return html`<section class="card alarm ${on ? "on" : ""}" aria-labelledby="alarm">
      <h2 id="alarm">${on ? "Emergency: all lights are held on" : "All lights on"}</h2>
      <p class="muted">${on ? "No other command reaches them until you end it." : `${lamps(members)} at full light at once, in front of all other commands. Each says that it did; who is silent is asked again.`}</p>
      ${this.sure
        ? html`<div class="sure" role="group" aria-labelledby="sure" data-testid="emergency-sure"><strong id="sure">Really all on now?</strong>
            <div class="big"><button class="btn harm full" data-testid="emergency-yes" @click=${() => void this.#send(true)}>${icon("bulb")}Yes, all on now</button>
              <button class="btn" data-testid="emergency-no" @click=${() => this.#ask(false)}>No</button></div></div>`
        : html`<div class="big">
            ${on
              ? html`<button class="btn go" data-testid="emergency-end" ?disabled=${busy} aria-busy=${this.sending === "off"} @click=${() => void this.#send(false)}>${icon("stop")}End the emergency</button>
                  <button class="btn" data-testid="emergency-again" ?disabled=${busy} @click=${() => void this.#send(true)}>${icon("bulb")}All on, again</button>`
              : html`<button class="btn harm full" data-testid="emergency-on" ?disabled=${busy || !members.length} aria-busy=${this.sending === "on"} @click=${() => this.#ask(true)}>${icon("warn")}All on now</button>`}
          </div>`}
    </section>`;
  }

  #ask(sure: boolean): void {
    this.sure = sure;
    clearTimeout(this.#timer);
    if (sure) {
      this.#timer = setTimeout(() => (this.sure = false), patience);
    }
    void this.updateComplete.then(() => this.querySelector<HTMLElement>(sure ? "[data-testid=emergency-yes]" : "[data-testid=emergency-on]")?.focus());
  }

  async #send(on: boolean): Promise<void> {
    this.#ask(false);
    this.sending = on ? "on" : "off";
    const call = await attempt(engine.emergency(this.group.name, on));
    this.sending = "";
    if (call) {
      this.result = { on, call };
    }
    await this.#read();
  }

  /** Who said that it did. */
  #receipts() {
    const live = this.group.rollCall?.kind === "emergency" ? this.group.rollCall : undefined;
    const known = this.result?.call;
    const call = this.sending || (live && known && live.started >= known.started) ? live : (known ?? live); // who is asked on may answer later
    if (!call) {
      return nothing;
    }
    const all = [...(call.answers ?? [])].sort((a, b) => byName(deviceName(a.device), deviceName(b.device)));
    const silent = all.filter((answer) => answer.state !== "verified");
    const did = all.filter((answer) => answer.state === "verified");
    const words = call.verified === all.length ? ({ tone: "ok", icon: "ok" } as const) : call.ended ? ({ tone: "fail", icon: "fail" } as const) : ({ tone: "busy", icon: "wait" } as const);
    return html`<section class="card" aria-labelledby="receipts-of">
      <div class="sect"><h2 id="receipts-of">Receipts</h2><span role="status">${status({ ...words, word: `${call.verified} of ${all.length} did it` }, "emergency-result")}</span>
        <span class="muted small push">${sentTo(call)}, ${call.unicasts} asked again${call.ended ? ` · ${clock(call.ended)}` : ""}</span></div>
      ${call.ended && silent.length ? html`<div class="body">${note({ tone: "fail", icon: "fail", testid: "emergency-silent", title: `${listed(silent.map((answer) => deviceName(answer.device)))} did not answer.`, text: call.until ? `Go and look. Until ${clock(call.until)} they are asked on, also after a reload.` : "Go and look. Asked by multicast and again one by one." })}</div>` : nothing}
      <ul class="receipts" data-testid="receipts">${silent.map((answer) => this.#receipt(answer))}</ul>
      <details class="fold"><summary data-testid="receipts-did">${icon("open")}${count(did.length, "device")} did it</summary><ul class="receipts">${did.map((answer) => this.#receipt(answer))}</ul></details>
    </section>`;
  }

  #receipt(answer: Answer) {
    const words = answerState(answer.state);
    return html`<li class=${words.tone} data-testid="receipt" data-device=${answer.device} data-state=${answer.state}><strong>${deviceName(answer.device)}</strong>${status(words)}</li>`;
  }

  get #lights(): string[] {
    const models = new Map(known(this.group.name).devices.map((one) => [one.device, one.model]));
    return (this.group.members ?? []).filter((id) => (models.get(id) ?? state.devices.get(id)?.model ?? "").includes("emergency")).sort((a, b) => byName(deviceName(a), deviceName(b)));
  }

  #tests() {
    const lights = this.#lights;
    const job = jobs().find((one) => isTest(one) && one.group === this.group.name);
    if (!lights.length) {
      return html`<section class="card"><div class="sect"><h2>Emergency lights</h2></div><p class="body muted">None of the members is an emergency light. Their tests and the log of them stand here as soon as one has joined.</p></section>`;
    }
    const toggle = (id: string) => {
      const next = new Set(this.chosen);
      if (!next.delete(id)) {
        next.add(id);
      }
      this.chosen = next;
    };
    const n = this.chosen.size;
    const those = n ? count(n, "light") : lights.length === 1 ? "The one light" : `All ${lights.length} lights`;
    const test = async (kind: string) => {
      if (kind === "function" || (await confirm({ title: "Empty the batteries now?", text: `${those}: until they are charged again they give no light when the power fails. Not while people need it.`, yes: "Start the duration test" }))) {
        await attempt(engine.emergencyTest(this.group.name, kind, n ? [...this.chosen] : lights));
      }
    };
    return html`<section class="card form" aria-labelledby="tests">
        <div class="sect"><h2 id="tests">Test emergency lights</h2><button class="btn sm push" data-testid="emergency-select-all" @click=${() => (this.chosen = new Set(n === lights.length ? [] : lights))}>${n === lights.length ? "None" : "Choose all"}</button></div>
        <ul class="choose">${lights.map((id) => html`<li><label class="choice"><input type="checkbox" data-testid="emergency-select" data-device=${id} .checked=${this.chosen.has(id)} @change=${() => toggle(id)} /><span>${deviceName(id)}</span></label></li>`)}</ul>
        <div class="bar"><span class="muted">${those}. The duration test empties the batteries.</span>
          <span class="push row"><button class="btn" data-testid="emergency-duration" @click=${() => void test("duration")}>${icon("wait")}Duration test</button>
            <button class="btn go" data-testid="emergency-function" @click=${() => void test("function")}>${icon("bulb")}Function test</button></span></div>
      </section>
      ${job ? html`<ll-job-card full .job=${job}></ll-job-card>` : nothing}`;
  }

  #log() {
    return html`<section class="card" aria-labelledby="em-log" data-testid="emergency-log">
      <div class="sect"><h2 id="em-log">Log</h2><button class="btn push" data-testid="emergency-csv" ?disabled=${!this.log.length} @click=${() => void this.#csv()}>${icon("download")}Log as CSV</button></div>
      ${this.log.length
        ? html`<div class="scroll"><table>
            <thead><tr><th>When</th><th>Device</th><th>What</th><th>Result</th><th class="end wide">Battery</th></tr></thead>
            <tbody>${this.log.slice(0, 100).map((entry) => this.#entry(entry))}</tbody>
          </table></div>`
        : html`<p class="body muted">Nothing yet. Each test and each command is written down here, with its time and result.</p>`}
    </section>`;
  }

  #entry(entry: EmergencyEntry) {
    const kinds: Record<string, string> = { function: "Function test", duration: "Duration test", command: "Command" };
    const words = resultWords[entry.result] ?? { tone: "doubt", icon: "doubt", word: entry.result };
    return html`<tr class=${words.tone === "fail" ? "fail" : ""} data-testid="emergency-entry" data-device=${entry.device} data-kind=${entry.kind} data-result=${entry.result}>
      <td>${clock(entry.at)}</td>
      <td>${entry.device ? html`<button class="link" data-testid="run-device-open" @click=${() => openDevice(entry.device)}><strong>${deviceName(entry.device)}</strong></button>` : "All"}</td>
      <td>${kinds[entry.kind] ?? entry.kind}${entry.minutes ? html`<span class="next">lasted ${entry.minutes} min</span>` : nothing}</td>
      <td>${status(words)}${entry.text && entry.result !== "passed" ? html`<span class="next">${entry.text}</span>` : nothing}</td>
      <td class="end wide">${entry.battery < 0 ? "–" : `${entry.battery} %`}</td>
    </tr>`;
  }

  async #csv(): Promise<void> {
    const text = await attempt(engine.emergencyLogCSV(this.group.name));
    if (text !== undefined) {
      download(fileName(this.group.name, "emergency-log", stamp()) + ".csv", "text/csv", text);
    }
  }
}
