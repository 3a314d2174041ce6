import { html, nothing } from "lit";
import { customElement, state as reactive } from "lit/decorators.js";
import { engine } from "../engine/start";
import { download, fileName, stamp } from "../files";
import { icon } from "../icons";
import { setBackupLater } from "../prefs";
import { complain, tell } from "../shell/toasts";
import { state } from "../state";
import { Dialog, show } from "./dialog";

/** A passphrase that a machine cannot try out in a life. */
const shortest = 10;

/** Saves the site credential as an age file. */
@customElement("ll-backup")
export class Backup extends Dialog<"saved" | "later"> {
  protected readonly kind = "backup";
  /** it was asked for before the first claim: the claim goes on afterwards */
  beforeClaim = false;
  @reactive() private problem = "";
  @reactive() private busy = false;
  @reactive() private shown = false;

  protected override content() {
    const type = this.shown ? "text" : "password";
    return html`<form @submit=${this.#save}>
      ${this.header(this.beforeClaim ? "Save the site’s key first" : "Save a backup")}
      <p>
        ${this.beforeClaim ? "From now on devices obey this site’s key, which lives in this browser only." : "Devices obey the site’s key, which lives in this browser."}
        If the browser is lost, another one manages the devices again with this file and its passphrase.
      </p>
      <input class="sr" type="text" autocomplete="username" tabindex="-1" aria-hidden="true" readonly .value=${state.site.name} />
      <div class="field">
        <label for="backup-passphrase">Passphrase, at least ${shortest} characters</label>
        <input class="input" id="backup-passphrase" data-testid="backup-passphrase" type=${type} autocomplete="new-password" minlength=${shortest} required autofocus aria-describedby="backup-hint" aria-invalid=${!!this.problem} />
        <span class="hint" id="backup-hint">Four or five random words are good. Nobody can reset it.</span>
      </div>
      <div class="field">
        <label for="backup-repeat">The same again</label>
        <input class="input" id="backup-repeat" data-testid="backup-repeat" type=${type} autocomplete="new-password" required aria-describedby="backup-problem" />
      </div>
      <p class="error" id="backup-problem" role="alert">${this.problem ? html`${icon("fail")}<span>${this.problem}</span>` : nothing}</p>
      <div class="acts">
        <button type="button" class="btn bare" data-testid="backup-show" aria-pressed=${this.shown} @click=${() => (this.shown = !this.shown)}>${this.shown ? "Hide" : "Show"} the passphrase</button>
        ${this.beforeClaim ? html`<button type="button" class="btn" data-testid="backup-later" @click=${this.#later}>Later</button>` : nothing}
        <button class="btn go" data-testid="backup-save" ?disabled=${this.busy}>${icon("download")}${this.busy ? "Encrypting" : "Save the backup"}</button>
      </div>
    </form>`;
  }

  #later = () => {
    setBackupLater();
    this.close("later");
  };

  #value(id: string): string {
    return this.querySelector<HTMLInputElement>("#" + id)?.value ?? "";
  }

  #save = async (event: SubmitEvent) => {
    event.preventDefault();
    const passphrase = this.#value("backup-passphrase");
    this.problem = passphrase === this.#value("backup-repeat") ? "" : "The two passphrases are not the same.";
    if (this.problem) {
      return;
    }
    this.busy = true;
    try {
      const text = await engine.backup(passphrase);
      download(fileName(state.site.name, stamp()) + ".age", "application/age-encryption", text);
      tell("The backup is in your downloads. Keep it away from this device.");
      this.close("saved");
    } catch (reason) {
      complain(reason);
    }
    this.busy = false;
  };
}

/** Asks for the backup; resolves to what became of it, undefined: put away. */
export function openBackup(beforeClaim = false): Promise<"saved" | "later" | undefined> {
  const dialog = new Backup();
  dialog.beforeClaim = beforeClaim;
  return show(dialog);
}
