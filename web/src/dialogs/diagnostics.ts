import { html } from "lit";
import { customElement, state as reactive } from "lit/decorators.js";
import { engine } from "../engine/start";
import { download, stamp } from "../files";
import { icon } from "../icons";
import { complain, tell } from "../shell/toasts";
import { Dialog, show } from "./dialog";

/** A text for support, to be seen before it is passed on. */
@customElement("ll-diagnostics")
export class Diagnostics extends Dialog {
  protected readonly kind = "diagnostics";
  @reactive() private text = "";

  override connectedCallback(): void {
    super.connectedCallback();
    engine.diagnostics().then(
      (text) => (this.text = `${text}\nbrowser: ${navigator.userAgent}\n`),
      (reason: unknown) => {
        complain(reason);
        this.close();
      },
    );
  }

  protected override content() {
    return html`<div class="body">
      ${this.header("Diagnostics")}
      <p class="muted">This is all that you pass on. Keys, label secrets and pass-phrases are not part of it.</p>
      <textarea class="input" rows="14" readonly aria-label="Diagnostics" data-testid="diagnostics-text" .value=${this.text}></textarea>
      <div class="acts">
        <button class="btn" data-testid="diagnostics-download" ?disabled=${!this.text} @click=${() => download(`lamplighter-diagnostics-${stamp()}.txt`, "text/plain", this.text)}>${icon("download")}Download</button>
        <button class="btn go" data-testid="diagnostics-copy" ?disabled=${!this.text} @click=${this.#copy}>${icon("copy")}Copy</button>
      </div>
    </div>`;
  }

  #copy = async () => {
    try {
      await navigator.clipboard.writeText(this.text);
      tell("The diagnostics are in the clipboard.");
    } catch {
      this.querySelector("textarea")?.select();
      complain(new Error("The browser did not allow copying. The text is selected: copy it with the keyboard, or download it."));
    }
  };
}

export const openDiagnostics = () => show(new Diagnostics());
