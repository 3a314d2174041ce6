import { html, nothing } from "lit";
import { customElement, property } from "lit/decorators.js";
import type { Job, JobItem } from "../engine.gen";
import { engine } from "../engine/start";
import { clock, count } from "../format";
import { icon } from "../icons";
import { href } from "../route";
import { attempt } from "../shell/toasts";
import { state } from "../state";
import { itemState, jobState, status } from "../words";
import { deviceName, failures, hasBoard, jobProgress, jobTitle, live } from "./job";
import { Part } from "./part";
import "./job-card.css";

const shownFailures = 5;

/** One job: how far it is, what failed and why, and one button. */
@customElement("ll-job-card")
export class JobCard extends Part {
  @property({ attribute: false }) job!: Job;
  /** the jobs screen shows every device's step and the times */
  @property({ type: Boolean }) full = false;
  /** what a good end leads to; main: it is the screen's main action */
  @property({ attribute: false }) onward: { word: string; href: string; main: boolean } | undefined;
  /** puts the card away once the job has ended */
  @property({ attribute: false }) dismiss: (() => void) | undefined;

  protected override render() {
    const job = this.job;
    const failed = hasBoard(job) ? [] : failures(job);
    const why = (state.rollouts.get(job.id) ?? state.runs.get(job.id))?.problem;
    const bar = job.state === "done" ? "ok" : !live(job) && job.failed ? "fail" : "";
    const words = { ...jobState(job.state), word: live(job) ? jobProgress(job) : `${jobState(job.state).word}, ${jobProgress(job)}` };
    return html`<section class="card job" aria-label=${jobTitle(job)} data-testid="job" data-job=${job.id} data-kind=${job.kind} data-state=${job.state}>
      <header>
        <h2>${jobTitle(job)}</h2>
        ${status(words, "job-state")}
        <span class="push row">${this.#buttons(failed)}</span>
      </header>
      <progress class="prog ${bar}" max=${job.total || 1} .value=${job.done} aria-label=${jobTitle(job)} data-testid="job-progress"></progress>
      ${live(job) ? html`<p class="now" data-testid="job-now">${this.#now()}</p>` : nothing}
      ${this.full ? html`<p class="muted small">Started ${clock(job.started)}${job.ended ? `, ended ${clock(job.ended)}` : ""} · <span class="id">${job.id}</span></p>` : nothing}
      ${why ? html`<p class="error">${icon("fail")}<span>${why.text} ${why.next}</span></p>` : nothing}
      ${failed.length ? this.#failures(failed) : nothing} ${this.full ? this.#items() : nothing}
    </section>`;
  }

  #buttons(failed: JobItem[]) {
    const job = this.job;
    if (hasBoard(job)) {
      return html`<a class="btn" data-testid="job-board" href=${href("jobs", job.id)}>Open the board${icon("next")}</a>`;
    }
    if (live(job)) {
      return html`<button class="btn" data-testid="job-cancel" @click=${() => attempt(engine.cancelJob(job.id))}>${icon("stop")}Stop</button>`;
    }
    const again = failed.length > 0 || job.state === "failed" || job.state === "canceled";
    return html`
      ${again
        ? html`<button class="btn" data-testid="job-retry" @click=${() => attempt(engine.retryJob(job.id))}>
            ${icon("job")}${failed.length ? `Retry the ${failed.length === 1 ? "one" : failed.length} that failed` : "Go on"}
          </button>`
        : nothing}
      ${this.onward ? html`<a class="btn ${this.onward.main ? "go" : ""}" data-testid="job-onward" href=${this.onward.href}>${this.onward.word}${icon("next")}</a>` : nothing}
      ${this.dismiss ? html`<button class="btn bare icon" aria-label="Put away" data-testid="job-dismiss" @click=${this.dismiss}>${icon("close")}</button>` : nothing}`;
  }

  /** What is being done right now, in words. */
  #now(): string {
    const working = (this.job.items ?? []).filter((item) => item.state === "working");
    if (working.length === 0) {
      return this.job.state === "waiting" ? "Waiting for the bridge, or before the next try." : "";
    }
    const shown = working.slice(0, 3).map((item) => `${deviceName(item.device)}: ${item.step}`);
    return shown.join(" · ") + (working.length > 3 ? ` · and ${working.length - 3} more` : "");
  }

  #failures(failed: JobItem[]) {
    const shown = this.full ? failed : failed.slice(0, shownFailures);
    return html`<ul class="failures" data-testid="job-failures">
      ${shown.map(
        (item) => html`<li data-testid="job-failure" data-device=${item.device} data-problem=${item.problem?.id ?? ""}>
          <strong>${deviceName(item.device)}</strong>
          <span>${item.problem?.text || item.step || "It failed."} <span class="next">${item.problem?.next ?? ""}</span></span>
        </li>`,
      )}
      ${shown.length < failed.length ? html`<li><strong>${count(failed.length - shown.length, "more", "more")}</strong><span>The jobs screen lists them all.</span></li>` : nothing}
    </ul>`;
  }

  #items() {
    return html`<details>
      <summary data-testid="job-items">${icon("open")}${count(this.job.total, "device")}</summary>
      <div class="scroll"><table class="items">
        <thead><tr><th>Device</th><th>Step</th><th class="wide">Tries</th><th>State</th></tr></thead>
        <tbody>
          ${(this.job.items ?? []).map(
            (item) => html`<tr data-testid="job-item" data-device=${item.device} data-state=${item.state}>
              <td><strong>${deviceName(item.device)}</strong></td>
              <td>${item.step}</td>
              <td class="wide">${item.tries}</td>
              <td>${status(itemState(item.state, item.problem))}</td>
            </tr>`,
          )}
        </tbody>
      </table></div>
    </details>`;
  }
}
