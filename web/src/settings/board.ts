import { html, nothing } from "lit";
import { customElement, property, state as reactive } from "lit/decorators.js";
import { repeat } from "lit/directives/repeat.js";
import { openDevice } from "../dialogs/device";
import { confirm } from "../dialogs/confirm";
import type { SettingsRow, SettingsRun } from "../engine.gen";
import { engine } from "../engine/start";
import "../firmware/board.css";
import { bytes, duration } from "../firmware/units";
import { byName, clock, count, minute } from "../format";
import { icon } from "../icons";
import { bones, empty } from "../parts/empty";
import { deviceName, groupTitle, lamps } from "../parts/job";
import { note } from "../parts/note";
import { stats } from "../parts/stats";
import { go, href } from "../route";
import { attempt } from "../shell/toasts";
import { state } from "../state";
import { View } from "../view";
import { status } from "../words";
import { schemas, schemaOf, write } from "./data";
import { undo } from "./past";
import { inState, steps, those } from "./steps";
import { lines } from "./values";
import { phaseWord, rowOrder, rowWord, troubled } from "./words";
import "./settings.css";

/** So many rows are drawn at once. */
const most = 200;

/** "9:32" */
function left(until: number): string {
  const seconds = Math.max(0, Math.ceil((until - Date.now()) / 1000));
  return seconds < 3600 ? `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, "0")}` : duration(seconds);
}

/** A change while it goes on, what it asks of a person, and what came of it. */
@customElement("ll-settings-run")
export class SettingsBoard extends View {
  @property({ attribute: false }) job = "";
  @reactive() private everything = false;
  @reactive() private busy = false;
  @reactive() private gone = "";
  #asked = "";
  #clock = 0;

  override connectedCallback(): void {
    super.connectedCallback();
    this.#clock = setInterval(() => this.requestUpdate(), 1000);
  }

  override disconnectedCallback(): void {
    super.disconnectedCallback();
    clearInterval(this.#clock);
  }

  protected override render() {
    const run = state.runs.get(this.job);
    if (!state.ready || (!run && !this.gone)) {
      this.#ask();
      return html`<div class="head"><div><h1>Settings</h1><p>${state.ready ? "Looking for this change" : "Starting the engine"}</p></div></div>${bones()}`;
    }
    if (!run) {
      return html`<div class="head"><h1>Settings</h1></div>
        ${empty("job", "This change is not known here", this.gone, html`<a class="btn go" data-testid="run-gone" href=${href("jobs")}>All jobs</a>`)}`;
    }
    return html`<div class="screen run" data-testid="run" data-job=${run.job} data-phase=${run.phase}>
      ${this.#head(run)} ${this.#ask4(run)} ${this.#trouble(run)}
      <section class="card" aria-label="Progress">${steps(run)} ${this.#squares(run)}</section>
      ${run.rows?.length ? html`${this.#numbers(run)} ${this.#devices(run)}` : nothing}
    </div>`;
  }

  /** A change that the snapshot did not bring is asked for once. */
  #ask(): void {
    if (!state.ready || this.#asked === this.job) {
      return;
    }
    this.#asked = this.job;
    engine.settingsRun(this.job).then(
      (run) => {
        state.runs.set(run.job, run);
        state.changed();
      },
      (reason: Error) => (this.gone = reason.message),
    );
  }

  #head(run: SettingsRun) {
    const rows = run.rows ?? [];
    const rest = run.ended ? rows.filter((row) => row.state !== "confirmed" && row.state !== "same") : [];
    const changes = new Set(rows.flatMap((row) => (row.changes ?? []).map((one) => one.name || String(one.key)))).size;
    return html`<div class="head">
      <div>
        <h1>Settings of ${groupTitle(run.change.group)}</h1>
        <p data-testid="run-summary">${rows.length ? `${phaseWord(run)} · ${count(changes, "setting")} on ${this.#named(those(run))}` : "Asking the devices what they run"}</p>
      </div>
      <div class="acts">
        ${["planning", "checking", "staging"].includes(run.phase) ? html`<button class="btn harm" data-testid="run-stop" ?disabled=${this.busy} @click=${() => this.#revert(run)}>${icon("stop")}Stop</button>` : nothing}
        ${run.undoUntil > Date.now() ? html`<button class="btn" data-testid="run-undo" ?disabled=${this.busy} @click=${() => void undo(run)}>${icon("job")}Undo</button>` : nothing}
        ${rest.length ? html`<button class="btn" data-testid="run-rest" @click=${() => this.#again(run, rest)}>${icon("job")}Plan again for ${this.#named(rest)}</button>` : nothing}
        ${run.ended ? html`<a class="btn" data-testid="run-again" href=${href("settings", run.change.group)}>${icon("sliders")}To the settings</a>` : nothing}
      </div>
    </div>`;
  }

  #named(rows: SettingsRow[]): string {
    return lamps(rows.map((row) => state.devices.get(row.device)));
  }

  /** What is asked of the person, in large letters. */
  #ask4(run: SettingsRun) {
    const rows = those(run);
    if (run.phase === "trial") {
      const on = inState(rows, "trial");
      const over = run.revertAt && run.revertAt <= Date.now();
      return html`<section class="card ask" aria-labelledby="ask" data-testid="run-deadline" data-at=${run.revertAt}>
        <div><h2 id="ask">${over ? "All is going back by itself." : `All goes back by itself at ${clock(run.revertAt)} unless you confirm`}</h2>
          <p>${on} of ${rows.length} run the new settings now. Look at them: is all as it should be?${run.network ? " Confirming also proves that you still reach them." : ""}</p></div>
        <span class="countdown" role="timer" aria-label="Time left" data-testid="run-countdown">${left(run.revertAt)}</span>
        <div class="big">
          <button class="btn go" data-testid="run-confirm" ?disabled=${this.busy || !on} @click=${() => this.#act(engine.confirmSettings(run.job))}>${icon("ok")}Confirm</button>
          <button class="btn" data-testid="run-revert" ?disabled=${this.busy} @click=${() => this.#act(engine.revertSettings(run.job))}>${icon("job")}Go back</button>
        </div>
      </section>`;
    }
    if (run.phase === "scheduled") {
      return html`<section class="card ask calm" aria-labelledby="ask" data-testid="run-next">
        <div><h2 id="ask">All switch together at ${clock(run.switchAt)}</h2><p>Then they try the new settings, and you confirm them.</p></div>
        <span class="countdown" role="timer" aria-label="Time until the switch" data-testid="run-countdown">${left(run.switchAt)}</span>
        <div class="big"><button class="btn" data-testid="run-revert" ?disabled=${this.busy} @click=${() => this.#act(engine.revertSettings(run.job))}>${icon("stop")}Call it off</button></div>
      </section>`;
    }
    return html`<div role="status">${this.#result(run)}</div>`;
  }

  #result(run: SettingsRun) {
    const rows = those(run);
    const kept = inState(rows, "confirmed");
    switch (run.phase) {
      case "done": {
        const all = kept === rows.length;
        return note({ tone: all ? "ok" : "warn", icon: all ? "ok" : "warn", testid: "run-result", title: `${kept} of ${rows.length} run and keep the new settings.`, text: `Ended ${clock(run.ended)}.${run.undoUntil ? ` It can be undone until ${minute(run.undoUntil)}.` : ""}` });
      }
      case "reverted":
        return note({ tone: "warn", icon: "job", testid: "run-result", title: "All is as it was before.", text: "Nothing of the change is left." });
      case "stopped":
      case "failed":
        return note({ tone: "warn", icon: "stop", testid: "run-result", title: run.phase === "stopped" ? "The change was stopped before the switch." : "The change was not made.", text: kept ? `${kept} keep the new settings, the others run what they ran before.` : "All run what they ran before." });
      case "confirming":
        return note({ tone: "busy", icon: "wait", testid: "run-next", title: "Confirming.", text: "Each device says that it keeps the new settings." });
      case "reverting":
        return note({ tone: "busy", icon: "wait", testid: "run-next", title: "Going back.", text: "Each device says that it runs what it ran before." });
      default:
        return html`<p class="muted" data-testid="run-next">The devices keep the new settings ready beside what runs. Nobody switches before all have them.</p>`;
    }
  }

  #trouble(run: SettingsRun) {
    // what the person did needs no warning
    return run.problem && run.problem.id !== "cfg-canceled" ? note({ tone: "fail", icon: "fail", testid: "run-failure", title: run.problem.text, text: run.problem.next }) : nothing;
  }

  #squares(run: SettingsRun) {
    const rows = [...(run.rows ?? [])].filter((row) => row.state !== "same").sort((a, b) => byName(deviceName(a.device), deviceName(b.device)));
    const present = rowOrder.filter((one) => inState(rows, one));
    const tally = present.map((one) => `${inState(rows, one)} ${rowWord(one).word}`).join(", ");
    return html`<div class="squares" role="img" aria-label="${this.#named(rows)}: ${tally}" data-testid="run-squares">${rows.map((row) => html`<i class="s-${row.state}"></i>`)}</div>
      <ul class="legend" aria-label="How many stand where" data-testid="run-legend">${present.map((one) => html`<li><i class="square s-${one}" aria-hidden="true"></i>${status({ ...rowWord(one), word: `${inState(rows, one)} ${rowWord(one).word}` })}</li>`)}</ul>`;
  }

  #numbers(run: SettingsRun) {
    const rows = those(run);
    return stats([
      { value: `${inState(rows, "trial", "confirmed")} of ${rows.length}`, label: "run the new settings", testid: "stat-run" },
      { value: String(run.requests), label: `messages${run.unicastRequests ? `, ${run.unicastRequests} to single devices` : ", all to the group"}`, testid: "stat-requests" },
      { value: bytes(run.bytes), label: "on the air, both ways", testid: "stat-bytes" },
      { value: run.ended ? duration((run.ended - run.started) / 1000) : clock(run.started), label: run.ended ? "in all" : "begun", testid: "stat-time" },
    ]);
  }

  #devices(run: SettingsRun) {
    const all = [...(run.rows ?? [])].sort((a, b) => rowOrder.indexOf(a.state) - rowOrder.indexOf(b.state) || byName(deviceName(a.device), deviceName(b.device)));
    const trouble = all.filter(troubled);
    const rows = this.everything ? all : trouble;
    const choose = (everything: boolean) => (this.everything = everything);
    return html`<section class="card devices-of" aria-labelledby="run-devices">
      <div class="sect"><h2 id="run-devices">Devices</h2>
        <div class="seg push" role="group" aria-label="Which devices">
          <button aria-pressed=${!this.everything} data-testid="run-view-trouble" @click=${() => choose(false)}>Not fine <b>${trouble.length}</b></button>
          <button aria-pressed=${this.everything} data-testid="run-view-all" @click=${() => choose(true)}>All <b>${all.length}</b></button>
        </div>
      </div>
      ${rows.length
        ? html`<div class="scroll"><table data-testid="run-devices">
            <caption class="sr">Devices</caption>
            <thead><tr><th>Device</th><th>State</th><th>Change</th></tr></thead>
            <tbody>${repeat(rows.slice(0, most), (row) => row.device, (row) => this.#row(run, row))}</tbody>
          </table></div>
          ${rows.length > most ? html`<p class="body muted small">${count(rows.length - most, "more", "more")} devices stand the same.</p>` : nothing}`
        : html`<p class="body muted">No device needs you.</p>`}
    </section>`;
  }

  #row(run: SettingsRun, row: SettingsRow) {
    schemas(run.change.group); // they say what keys are called
    const words = rowWord(row.state);
    const all = (row.changes ?? []).flatMap((change) => lines(schemaOf(run.change.group, run.change.model), change));
    return html`<tr class=${words.tone === "fail" ? "fail" : ""} data-testid="run-device" data-device=${row.device} data-state=${row.state} data-problem=${row.problem?.id ?? ""}>
      <td><button class="link" data-testid="run-device-open" @click=${() => openDevice(row.device)}><strong>${deviceName(row.device)}</strong></button></td>
      <td>${status(words, "run-device-state")}${row.problem ? html`<span class="next">${row.problem.text} ${row.problem.next}</span>` : nothing}</td>
      <td>${all.slice(0, 3).map((line) => html`<span class="next">${line.title}: ${line.old} → ${line.new}</span>`)}${all.length > 3 ? html`<span class="next">and ${all.length - 3} more</span>` : nothing}</td>
    </tr>`;
  }

  async #act(work: Promise<SettingsRun>): Promise<void> {
    this.busy = true;
    const run = await attempt(work);
    if (run) {
      state.runs.set(run.job, run);
      state.changed();
    }
    this.busy = false;
  }

  async #revert(run: SettingsRun): Promise<void> {
    const sure = await confirm({ title: "Stop the change?", text: "Nobody has switched yet: all keep what they run, and forget the change.", yes: "Stop it" });
    if (sure) {
      await this.#act(engine.revertSettings(run.job));
    }
  }

  /** The same change, for those that do not keep it. */
  #again(run: SettingsRun, rest: SettingsRow[]): void {
    write({ ...run.change, devices: rest.map((row) => row.device), in: 0, at: 0, quorum: 0 });
    go("settings", run.change.group, "change");
  }
}
