import { html, nothing } from "lit";
import { customElement, property } from "lit/decorators.js";
import { openBackup } from "../dialogs/backup";
import { ms } from "../format";
import { icon } from "../icons";
import { appearance } from "../parts/appearance";
import { go } from "../route";
import { state } from "../state";
import { View } from "../view";
import "./top.css";

/** Where am I, is my work safe, does the bridge answer. */
@customElement("ll-top")
export class Top extends View {
  @property({ attribute: false }) crumb = "";

  protected override render() {
    const site = state.site.name;
    return html`
      <span class="brand"><b></b><span>Lamplighter</span></span>
      <span class="crumb">${site ? html`<span data-testid="site-name">${site}</span>${this.crumb ? html`<span aria-hidden="true">/</span>` : nothing}` : nothing}<strong>${this.crumb}</strong></span>
      <div class="tools">
        ${this.#backup()} ${this.#link()}
        <button class="btn bare icon" popovertarget="appearance" aria-label="Appearance" data-testid="appearance">${icon("sliders")}</button>
      </div>
      <div id="appearance" class="appearance" popover role="dialog" aria-label="Appearance">${appearance("", () => this.requestUpdate())}</div>`;
  }

  #backup() {
    if (!state.ready || !state.hasSite || state.site.backedUp) {
      return nothing;
    }
    return html`<button class="hit" data-testid="backup-badge" aria-label="Not backed up: save a backup" @click=${() => openBackup()}>
      <span class="pill warn">${icon("warn")}<span class="t">Not backed up</span></span>
    </button>`;
  }

  #link() {
    if (!state.ready || !state.hasSite) {
      const word = state.phase === "starting" ? "Starting" : "";
      return word ? html`<span class="pill" data-testid="link-pill" data-up="false"><i class="dot wait"></i>${word}</span>` : nothing;
    }
    const { up, rtt } = state.link;
    return html`<button class="hit" data-testid="link-pill" data-up=${up} aria-label=${up ? "Bridge, round trip " + ms(rtt) : "Bridge off-line"} @click=${() => go("site")}>
      <span class="pill ${up ? "" : "fail"}">${up ? html`<i class="dot"></i>Bridge${rtt ? " " + ms(rtt) : ""}` : html`${icon("offline")}Off-line`}</span>
    </button>`;
  }
}
