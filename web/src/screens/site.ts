import { html, nothing, type TemplateResult } from "lit";
import { customElement } from "lit/decorators.js";
import { openBackup } from "../dialogs/backup";
import { openDiagnostics } from "../dialogs/diagnostics";
import { openRestore } from "../dialogs/restore";
import { clock, count, ms } from "../format";
import { icon } from "../icons";
import { appearance } from "../parts/appearance";
import { bones } from "../parts/empty";
import { way, type Step } from "../parts/way";
import { state } from "../state";
import { View } from "../view";
import { status } from "../words";
import "./site.css";

/** The site: how far it is, what to do next, and what keeps it safe. */
@customElement("ll-site")
export class SiteScreen extends View {
  protected override render() {
    if (!state.ready) {
      return html`<div class="head"><div><h1>Site</h1><p>Starting the engine</p></div></div>${bones()}`;
    }
    const { name, installer } = state.site;
    return html`
      <div class="head"><div><h1>${name}</h1><p data-testid="site-summary">${installer ? `Installer: ${installer} · ` : ""}${count(state.devices.size, "device")}, ${count(state.groups.size, "group")}</p></div></div>
      ${this.#way()}
      <div class="pair">${this.#backup()} ${this.#link()}</div>
      <div class="pair">${this.#looks()} ${this.#about()}</div>`;
  }

  #way() {
    const { steps, next } = way();
    return html`<section class="card" aria-label="The way">
      <ol class="way">${steps.map((step) => this.#step(step))}</ol>
      <div class="onward">
        <p><strong>${next.title}</strong><br /><span class="muted">${next.text}</span></p>
        <a class="btn go" href=${next.href} data-testid="next-step">${next.word}${icon("next")}</a>
      </div>
    </section>`;
  }

  #step(step: Step) {
    return html`<li class=${step.words.tone} data-testid="way-step" data-step=${step.id} data-tone=${step.words.tone}>
      ${status(step.words)}<strong>${step.title}</strong><p>${step.text}</p>
    </li>`;
  }

  #card(title: string, body: TemplateResult) {
    return html`<section class="card"><div class="sect"><h2>${title}</h2></div><div class="body">${body}</div></section>`;
  }

  #backup() {
    const { backedUp, credential } = state.site;
    return this.#card("Backup", html`
      <div>${status(backedUp ? { tone: "ok", icon: "shield", word: "Backed up" } : { tone: "warn", icon: "warn", word: "Not backed up" }, "backup-state")}</div>
      <p class="muted">${backedUp ? "Keep the file and its passphrase apart, and away from this device." : "If this browser is lost, nobody can manage the devices any more; they would have to be reset one by one."}</p>
      <dl class="facts"><dt>Site credential</dt><dd class="id" data-testid="site-credential">${credential}</dd></dl>
      <div class="row">
        <button class="btn" data-testid="backup-open" @click=${() => openBackup()}>${icon("download")}Save a backup</button>
        <button class="btn bare" data-testid="restore-open" @click=${openRestore}>Restore one</button>
      </div>`);
  }

  #link() {
    const { up, rtt, reason } = state.link;
    return this.#card("Bridge", html`
      <div>${status(up ? { tone: "ok", icon: "ok", word: "Connected" } : { tone: "fail", icon: "offline", word: "Off-line" }, "link-state")}</div>
      <p class="muted">${up ? "It carries messages to the devices and cannot read them." : reason}</p>
      <dl class="facts"><dt>Address</dt><dd class="id">${location.host}</dd>${up && rtt ? html`<dt>Round trip</dt><dd>${ms(rtt)}</dd>` : nothing}</dl>`);
  }

  #looks() {
    return this.#card("Appearance", appearance("site-", () => this.requestUpdate()));
  }

  #about() {
    const last = state.log[0];
    return this.#card("About", html`
      <dl class="facts"><dt>Lamplighter</dt><dd>${state.version}</dd>${last ? html`<dt>Last entry in the log</dt><dd>${clock(last.at)}</dd>` : nothing}</dl>
      <div class="row"><button class="btn" data-testid="diagnostics-open" @click=${openDiagnostics}>${icon("copy")}Diagnostics</button><a class="btn bare" href="/licenses.txt" data-testid="licenses">Licences</a></div>`);
  }
}
