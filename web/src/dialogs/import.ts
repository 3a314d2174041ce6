import { html, nothing } from "lit";
import { customElement, state as reactive } from "lit/decorators.js";
import type { LabelReport } from "../engine.gen";
import { engine } from "../engine/start";
import { chosen } from "../files";
import { count, deviceID } from "../format";
import { icon } from "../icons";
import { attempt, tell } from "../shell/toasts";
import { Dialog, show } from "./dialog";
import "./import.css";

/** How long typing must rest before the dry run. */
const rest = 250;
const shownRows = 5;

/** Labels as CSV or LL1 lines: a dry run first, then the import. */
@customElement("ll-import")
export class Import extends Dialog<LabelReport> {
  protected readonly kind = "import";
  @reactive() private text = "";
  @reactive() private report: LabelReport | undefined;
  @reactive() private problem = "";
  @reactive() private busy = false;
  #timer = 0;

  protected override content() {
    return html`<form @submit=${this.#import}>
      ${this.header("Import labels")}
      <p class="muted">A CSV file with the columns id, name, model, thumbprint, secret, place and address, or the text of LL1 codes, one a line. Nothing changes before you say so.</p>
      <div class="row">
        <input class="sr" type="file" id="import-file" data-testid="import-file" accept=".csv,.txt,text/csv,text/plain" @change=${this.#file} />
        <label class="btn" for="import-file">${icon("upload")}Choose a file</label>
        <span class="muted">or paste it here</span>
      </div>
      <div class="field">
        <label class="sr" for="import-text">Labels</label>
        <textarea class="input" id="import-text" data-testid="import-text" rows="5" spellcheck="false" autocomplete="off" placeholder="LL1:…" .value=${this.text} @input=${this.#typed}></textarea>
      </div>
      <div role="status" data-testid="import-preview">${this.#preview()}</div>
      <div class="acts">
        <button type="button" class="btn" data-testid="import-cancel" @click=${() => this.close()}>Cancel</button>
        <button class="btn go" data-testid="import-confirm" ?disabled=${this.busy || this.#fresh === 0}>${this.#fresh ? "Import " + count(this.#fresh, "label") : "Import"}</button>
      </div>
    </form>`;
  }

  /** How many labels the import would bring or change. */
  get #fresh(): number {
    return this.report ? this.report.added + this.report.updated : 0;
  }

  #preview() {
    if (this.problem) {
      return html`<p class="error" data-testid="import-problem">${icon("fail")}<span>${this.problem}</span></p>`;
    }
    const report = this.report;
    if (!report) {
      return nothing;
    }
    const rejected = report.rejected ?? [];
    return html`<div class="preview">
      <div class="chips counts">
        <span class="st ok" data-testid="import-added">${icon("ok")}${report.added} new</span>
        ${report.updated ? html`<span class="st busy" data-testid="import-updated">${icon("job")}${report.updated} changed</span>` : nothing}
        ${report.same ? html`<span class="st plain" data-testid="import-same">${icon("ok")}${report.same} already known</span>` : nothing}
        ${rejected.length ? html`<span class="st fail">${icon("fail")}${count(rejected.length, "line")} not understood</span>` : nothing}
      </div>
      ${rejected.length ? this.#rejected(rejected) : nothing} ${this.#accepted(report)}
    </div>`;
  }

  #rejected(lines: LabelReport["rejected"]) {
    return html`<ul class="broken" data-testid="import-rejected" tabindex="0" aria-label="Lines that were not understood">
      ${lines.map((line) => html`<li data-testid="import-rejected-line"><b>${line.line ? `Line ${line.line}` : "A label"}</b><span>${line.reason}</span></li>`)}
    </ul>`;
  }

  #accepted(report: LabelReport) {
    const devices = report.devices ?? [];
    const more = devices.length - shownRows;
    return html`<ul class="accepted">
        ${devices.slice(0, shownRows).map((device) => html`<li><strong>${device.name || "no name"}</strong><span class="muted small">${device.place}</span><span class="id">${deviceID(device.id)}</span></li>`)}
      </ul>
      ${more > 0 ? html`<p class="muted small">and ${more} more</p>` : nothing}`;
  }

  #typed = (event: InputEvent) => {
    this.text = (event.target as HTMLTextAreaElement).value;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => void this.#dryRun(), rest);
  };

  #file = async (event: Event) => {
    const text = await chosen(event);
    if (text !== undefined) {
      this.text = text;
      await this.#dryRun();
    }
  };

  async #dryRun(): Promise<void> {
    const text = this.text;
    if (!text.trim()) {
      this.report = undefined;
      this.problem = "";
      return;
    }
    try {
      const report = await engine.previewLabels(text);
      if (text === this.text) {
        this.report = report;
        this.problem = "";
      }
    } catch (reason) {
      this.report = undefined;
      this.problem = (reason as Error).message;
    }
  }

  #import = async (event: SubmitEvent) => {
    event.preventDefault();
    this.busy = true;
    const report = await attempt(engine.importLabels(this.text));
    this.busy = false;
    if (report) {
      tell(count(report.added + report.updated, "label") + " imported.");
      this.close(report);
    }
  };
}

export const openImport = () => show(new Import());
