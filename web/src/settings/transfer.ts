// Settings as files: SenML and CSV, out and in.

import { html, nothing } from "lit";
import { customElement, state as reactive } from "lit/decorators.js";
import { Dialog, show } from "../dialogs/dialog";
import type { SettingsChange } from "../engine.gen";
import { engine } from "../engine/start";
import { chosen, download, fileName, stamp } from "../files";
import { count } from "../format";
import { icon } from "../icons";
import { go } from "../route";
import { attempt, tell } from "../shell/toasts";
import { trouble, write, type Trouble } from "./data";

/** Offers what the devices run as a file. */
export async function save(group: string, format: "senml" | "csv"): Promise<void> {
  const text = await attempt(engine.exportSettings(group, format));
  if (text !== undefined) {
    const [ending, type] = format === "csv" ? [".csv", "text/csv"] : [".senml.json", "application/senml+json"];
    download(fileName(group, "settings", stamp()) + ending, type, text);
    tell("The settings are in your downloads.");
  }
}

/** A file of settings: what it would change is shown before anything is sent. */
@customElement("ll-settings-import")
export class SettingsImport extends Dialog<SettingsChange> {
  protected readonly kind = "settings-import";
  group = "";
  @reactive() private text = "";
  @reactive() private wrong: Trouble | undefined;
  @reactive() private busy = false;

  protected override content() {
    return html`<form @submit=${this.#take}>
      ${this.header("Import settings")}
      <p class="muted">A file that was exported here, SenML (RFC 8428) or CSV, perhaps changed in a table. You see the difference for each device before anything is sent.</p>
      <div class="row">
        <input class="sr" type="file" id="settings-file" data-testid="settings-import-file" accept=".csv,.json,.senml,text/csv,application/json,application/senml+json" @change=${this.#file} />
        <label class="btn" for="settings-file">${icon("upload")}Choose a file</label>
        <span class="muted">or paste it here</span>
      </div>
      <div class="field">
        <label class="sr" for="settings-text">Settings</label>
        <textarea class="input" id="settings-text" data-testid="settings-import-text" rows="6" spellcheck="false" autocomplete="off" .value=${this.text} @input=${(event: Event) => (this.text = (event.target as HTMLTextAreaElement).value)}></textarea>
      </div>
      <p class="error" role="alert" data-testid="settings-import-problem">${this.wrong ? html`${icon("fail")}<span class="lines">${this.wrong.text}\n${this.wrong.next}</span>` : nothing}</p>
      <div class="acts">
        <button type="button" class="btn" data-testid="settings-import-cancel" @click=${() => this.close()}>Cancel</button>
        <button class="btn go" data-testid="settings-import-confirm" ?disabled=${this.busy || this.text.trim() === ""}>Look at the change</button>
      </div>
    </form>`;
  }

  #file = async (event: Event) => {
    const text = await chosen(event);
    if (text !== undefined) {
      this.text = text;
      this.wrong = undefined;
    }
  };

  #take = async (event: SubmitEvent) => {
    event.preventDefault();
    this.busy = true;
    this.wrong = undefined;
    try {
      this.close(await engine.importSettings(this.group, this.text));
    } catch (reason) {
      this.wrong = trouble(reason);
    }
    this.busy = false;
  };
}

export async function openSettingsImport(group: string): Promise<void> {
  const dialog = new SettingsImport();
  dialog.group = group;
  const change = await show(dialog);
  if (change) {
    write(change);
    const devices = Object.keys(change.perDevice ?? {}).length;
    tell(devices ? `The file has values of their own for ${count(devices, "device")}.` : "The file has the same values for all.");
    go("settings", group, "change");
  }
}
