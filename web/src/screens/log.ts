import { html } from "lit";
import { customElement, state as reactive } from "lit/decorators.js";
import { openDiagnostics } from "../dialogs/diagnostics";
import type { Entry } from "../engine.gen";
import { clock, count } from "../format";
import { icon } from "../icons";
import { bones, empty } from "../parts/empty";
import { deviceName } from "../parts/job";
import { state } from "../state";
import { View } from "../view";
import { logLevel, status } from "../words";
import "./log.css";

/** As many lines as are drawn at once; the diagnostics have them all. */
const shown = 200;

/** What happened, the newest first. */
@customElement("ll-log")
export class Log extends View {
  @reactive() private troubles = false;

  protected override render() {
    const entries = state.log.filter((entry) => !this.troubles || entry.level !== "info");
    return html`
      <div class="head">
        <div><h1>Log</h1><p>What happened, the newest first. No secrets stand in it.</p></div>
        <div class="acts"><button class="btn" data-testid="diagnostics-open" ?disabled=${!state.ready} @click=${openDiagnostics}>${icon("copy")}Diagnostics</button></div>
      </div>
      ${!state.ready ? bones() : state.log.length ? this.#table(entries) : empty("log", "Nothing happened yet", "Every step is written here with its time: useful when something does not work.")}`;
  }

  #table(entries: Entry[]) {
    const troubles = state.log.filter((entry) => entry.level !== "info").length;
    return html`
      <div class="chips" role="group" aria-label="Filter">
        <button class="chip" aria-pressed=${!this.troubles} data-testid="log-all" @click=${() => (this.troubles = false)}>All <b>${state.log.length}</b></button>
        <button class="chip" aria-pressed=${this.troubles} data-testid="log-troubles" @click=${() => (this.troubles = true)}>Warnings and errors <b>${troubles}</b></button>
      </div>
      <section class="card log" aria-label="Log"><div class="scroll"><table>
        <caption class="sr">Log</caption>
        <thead><tr><th>Time</th><th>Kind</th><th>Device</th><th>What</th></tr></thead>
        <tbody>${entries.slice(0, shown).map((entry) => html`<tr data-testid="log-row" data-level=${entry.level}>
          <td>${clock(entry.at)}</td><td>${status(logLevel(entry.level))}</td><td>${entry.device ? deviceName(entry.device) : ""}</td><td>${entry.text}</td>
        </tr>`)}</tbody>
      </table></div></section>
      ${entries.length > shown ? html`<p class="muted">${count(entries.length - shown, "older line")} ${entries.length - shown === 1 ? "stands" : "stand"} in the diagnostics.</p>` : ""}`;
  }
}
