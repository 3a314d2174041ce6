import { html, nothing } from "lit";
import { customElement, state as reactive } from "lit/decorators.js";
import { EngineError } from "../engine/client";
import { engine } from "../engine/start";
import { chosen } from "../files";
import { icon } from "../icons";
import { go } from "../route";
import { tell } from "../shell/toasts";
import { Dialog, show } from "./dialog";

/** Takes a backup on this browser. */
@customElement("ll-restore")
export class Restore extends Dialog {
  protected readonly kind = "restore";
  @reactive() private file = "";
  @reactive() private problem = "";
  @reactive() private busy = false;

  protected override content() {
    return html`<form @submit=${this.#restore}>
      ${this.header("Restore a backup")}
      <p>This browser will manage the site’s devices again. Open your invitation link here first if this bridge does not know you.</p>
      <div class="field">
        <span class="label">The backup, a file that ends in .age</span>
        <div class="row">
          <input class="sr" type="file" id="restore-file" data-testid="restore-file" accept=".age,.txt" @change=${async (event: Event) => (this.file = (await chosen(event)) ?? this.file)} />
          <label class="btn" for="restore-file">${icon("upload")}Choose the file</label>
          ${this.file ? html`<span class="st ok">${icon("ok")}file is here</span>` : nothing}
        </div>
      </div>
      <div class="field">
        <label for="restore-passphrase">Its passphrase</label>
        <input class="input" id="restore-passphrase" data-testid="restore-passphrase" type="password" autocomplete="current-password" required aria-describedby="restore-problem" />
      </div>
      <p class="error" id="restore-problem" role="alert">${this.problem ? html`${icon("fail")}<span>${this.problem}</span>` : nothing}</p>
      <div class="acts">
        <button class="btn go" data-testid="restore-confirm" ?disabled=${this.busy}>${this.busy ? "Opening" : "Restore"}</button>
      </div>
    </form>`;
  }

  #restore = async (event: SubmitEvent) => {
    event.preventDefault();
    if (!this.file) {
      this.problem = "Choose the backup’s file first.";
      return;
    }
    this.busy = true;
    this.problem = "";
    try {
      const site = await engine.restore(this.file, this.querySelector<HTMLInputElement>("#restore-passphrase")?.value ?? "");
      tell(site.name + " is restored.");
      this.close();
      go("site");
    } catch (reason) {
      this.problem = (reason as Error).message + (reason instanceof EngineError && reason.next ? " " + reason.next : "");
    }
    this.busy = false;
  };
}

export const openRestore = () => show(new Restore());
