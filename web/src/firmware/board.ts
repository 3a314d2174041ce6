import { html, nothing } from "lit";
import { customElement, property, state as reactive } from "lit/decorators.js";
import { confirm } from "../dialogs/confirm";
import { openDevice } from "../dialogs/device";
import type { Job, Rollout } from "../engine.gen";
import { engine } from "../engine/start";
import { download, fileName, stamp } from "../files";
import { clock, count, minute } from "../format";
import { icon } from "../icons";
import { bones, empty } from "../parts/empty";
import { deviceName, groupTitle, lamps } from "../parts/job";
import { note } from "../parts/note";
import { stats } from "../parts/stats";
import { href } from "../route";
import { attempt, tell } from "../shell/toasts";
import { state } from "../state";
import { View } from "../view";
import { chart } from "./chart";
import { devices } from "./devices";
import { parts } from "./parts";
import { inState, ratio, stage, taking, withImage } from "./progress";
import { report } from "./report";
import { steps } from "./steps";
import { bytes, duration, percent, rate } from "./units";
import { waves } from "./waves";
import { imageName, profileName, troubled } from "./words";
import "./board.css";
import "./firmware.css";
import "./print.css";

/** A rollout while it goes on, and what came of it. */
@customElement("ll-rollout")
export class Board extends View {
  @property({ attribute: false }) job = "";
  @reactive() private everything = false;
  @reactive() private busy = false;
  @reactive() private gone = "";
  #asked = "";

  protected override render() {
    const rollout = state.rollouts.get(this.job);
    if (!state.ready || (!rollout && !this.gone)) {
      this.#ask();
      return html`<div class="head"><div><h1>Firmware</h1><p>${state.ready ? "Looking for this update" : "Starting the engine"}</p></div></div>${bones()}`;
    }
    if (!rollout) {
      return html`<div class="head"><h1>Firmware</h1></div>
        ${empty("job", "This update is not known here", this.gone, html`<a class="btn go" data-testid="rollout-gone" href=${href("jobs")}>All jobs</a>`)}`;
    }
    return html`<div class="screen rollout" data-testid="rollout" data-job=${rollout.job} data-phase=${rollout.phase} data-paused=${rollout.paused} data-waits=${rollout.waits}>
        ${this.#head(rollout)} <div role="status">${this.#next(rollout)}</div> ${this.#trouble(rollout)}
        <section class="card" aria-label="Progress">${steps(rollout)} ${waves(rollout)}</section>
        ${this.#numbers(rollout)} ${this.#charts(rollout)}
        ${devices(rollout, this.everything, (everything) => (this.everything = everything))}
      </div>
      ${rollout.ended ? report(rollout) : nothing}`;
  }

  /** A rollout that the snapshot did not bring is asked for once. */
  #ask(): void {
    if (!state.ready || this.#asked === this.job) {
      return;
    }
    this.#asked = this.job;
    engine.firmware(this.job).then(
      (rollout) => {
        state.rollouts.set(rollout.job, rollout);
        state.changed();
      },
      (reason: Error) => (this.gone = reason.message),
    );
  }

  #head(rollout: Rollout) {
    const { image } = rollout;
    const all = rollout.devices ?? [];
    const to = lamps(taking(rollout).map((one) => state.devices.get(one.device)));
    const fits = taking(rollout).length < all.length ? ` · fits ${taking(rollout).length} of ${all.length}` : "";
    return html`<div class="head">
      <div>
        <h1>${imageName(image)}</h1>
        <p data-testid="rollout-summary">${bytes(image.size)} for ${to} of ${groupTitle(rollout.group)}${fits}${image.signer ? html` · signed by key <span class="id">${image.signer.slice(0, 8)}</span>` : nothing}</p>
      </div>
      <div class="acts">${rollout.ended ? this.#after(rollout) : this.#during(rollout)}</div>
    </div>`;
  }

  #during(rollout: Rollout) {
    return html`
      ${rollout.waits ? this.#button("rollout-advance", "Start the next wave", "play", () => engine.advanceFirmware(rollout.job), true) : nothing}
      ${rollout.paused
        ? this.#button("rollout-resume", "Go on", "play", () => engine.resumeFirmware(rollout.job), !rollout.waits)
        : this.#button("rollout-pause", "Pause", "pause", () => engine.pauseFirmware(rollout.job))}
      <button class="btn harm" data-testid="rollout-stop" ?disabled=${this.busy} @click=${() => this.#stop(rollout)}>${icon("stop")}Stop</button>`;
  }

  #after(rollout: Rollout) {
    const failed = taking(rollout).filter(troubled).length;
    const rest = taking(rollout).length - inState(taking(rollout), "confirmed").length;
    return html`
      ${rest ? this.#button("rollout-retry", failed ? `Retry the ${failed === 1 ? "one" : failed} that failed` : "Go on with the rest", "job", () => engine.retryJob(rollout.job), rollout.problem?.retry !== false) : nothing}
      <button class="btn" data-testid="rollout-csv" @click=${() => this.#csv(rollout)}>${icon("download")}Report as CSV</button>
      <button class="btn" data-testid="rollout-print" @click=${() => print()}>${icon("log")}Print</button>`;
  }

  #button(testid: string, word: string, image: "play" | "pause" | "job", act: () => Promise<Job>, main = false) {
    const press = async () => {
      this.busy = true;
      await attempt(act());
      this.busy = false;
    };
    return html`<button class="btn ${main ? "go" : ""}" data-testid=${testid} ?disabled=${this.busy} @click=${press}>${icon(image)}${word}</button>`;
  }

  async #stop(rollout: Rollout): Promise<void> {
    const run = inState(taking(rollout), "confirmed").length;
    const sure = await confirm({
      title: `Stop the update of ${groupTitle(rollout.group)}?`,
      text: `${run ? `${count(run, "device")} already run the new firmware and keep it. All others` : "All"} keep what they run now, and drop what they received.`,
      yes: "Stop the update",
    });
    if (sure && (await attempt(engine.cancelJob(rollout.job)))) {
      tell("The update is stopped.");
    }
  }

  /** What goes on, and whether somebody has to do something. */
  #next(rollout: Rollout) {
    const all = taking(rollout);
    const run = inState(all, "confirmed").length;
    const done = (rollout.waves ?? []).filter((one) => one.state === "done").length;
    if (rollout.phase === "done") {
      const every = run === all.length;
      return note({ tone: every ? "ok" : "warn", icon: every ? "ok" : "warn", testid: "rollout-result", title: `${run} of ${all.length} run ${imageName(rollout.image)}.`, text: `Ended ${clock(rollout.ended)}, after ${duration((rollout.ended - rollout.started) / 1000)}. The report says it of each device.` });
    }
    if (rollout.ended) {
      return note({ tone: "warn", icon: "stop", testid: "rollout-result", title: `Stopped: ${run} of ${all.length} run ${imageName(rollout.image)}.`, text: "All others keep what they ran before. Nobody runs an image that was not verified." });
    }
    if (rollout.paused) {
      return note({ tone: "busy", icon: "pause", testid: "rollout-next", title: "Paused.", text: "Nothing is sent and nobody switches. Lamps keep what they have received." });
    }
    if (rollout.waits) {
      const next = (rollout.waves ?? [])[done];
      return note({ tone: "busy", icon: "wait", testid: "rollout-next", title: done ? `${(rollout.waves ?? [])[done - 1]?.name ?? "The wave"} is done: have a look at its lamps.` : "All is verified.", text: `${next ? `Next: ${next.name}, ${lamps((next.devices ?? []).map((id) => state.devices.get(id)))}. ` : ""}Nobody switches before you say so.` });
    }
    if (rollout.options.at > Date.now() && stage(rollout) !== "sending") {
      return html`<p class="muted" data-testid="rollout-next">The first wave switches at ${minute(rollout.options.at)}. Each lamp keeps what it has until then.</p>`;
    }
    const words: Record<string, string> = {
      sending: "All lamps listen at once. Nobody switches before it has checked the whole image.",
      verifying: withImage(rollout) < all.length ? "What was lost is made up for until each lamp has the whole image and has checked it." : "Each lamp has checked the whole image.",
      switching: "One wave after the other starts the new firmware, is tried, and keeps it. What does not come back goes back by itself.",
    };
    return html`<p class="muted" data-testid="rollout-next">${words[stage(rollout)] ?? ""}</p>`;
  }

  /** The first failure's cause, and one button. */
  #trouble(rollout: Rollout) {
    const problem = rollout.problem;
    if (!problem || (problem.id === "fw-aborted" && rollout.ended)) {
      return nothing; // the note above says that
    }
    const device = rollout.problemDevice;
    const known = device && state.devices.has(device);
    return note({
      tone: "fail",
      icon: "fail",
      testid: "rollout-failure",
      title: device ? `${deviceName(device)}: ${problem.text}` : problem.text,
      text: problem.next,
      action: known ? { word: `Show ${deviceName(device)}`, testid: "rollout-failure-show", run: () => openDevice(device) } : undefined,
    });
  }

  #numbers(rollout: Rollout) {
    const last = (rollout.samples ?? []).at(-1);
    const sent = ratio(rollout);
    const over = stage(rollout) !== "sending";
    return stats([
      { value: sent ? sent.toFixed(2) + "\u00a0×" : "–", label: `blocks sent for each block of the image${rollout.unicast ? `, ${rollout.unicast} to single devices` : ""}`, testid: "stat-ratio" },
      { value: last ? percent(last.loss) : "–", label: last ? `loss ${over ? "at the end" : "now"}, worst device ${percent(last.worst)}` : "loss, not measured yet", testid: "stat-loss" },
      { value: last ? rate(last.rate) : "–", label: `pace, ${profileName(rollout.options.profile)}`, testid: "stat-pace" },
      rollout.ended
        ? { value: duration((rollout.ended - rollout.started) / 1000), label: `in all; sending was predicted to take ${duration(rollout.predictedSeconds)}, one by one ${duration(rollout.unicastSeconds)}`, testid: "stat-time" }
        : { value: duration(rollout.predictedSeconds), label: `predicted for sending${over || !rollout.left ? "" : `, all is done at ${clock(Date.now() + rollout.left * 1000)}`}; one by one ${duration(rollout.unicastSeconds)}`, testid: "stat-time" },
    ]);
  }

  #charts(rollout: Rollout) {
    const samples = rollout.samples ?? [];
    const times = samples.map((one) => one.at);
    return html`<section class="card charts" aria-label="Measurements">
      ${parts(rollout)}
      ${chart({ title: "Loss", testid: "chart-loss", times, least: 0.05, say: percent, lines: [
        { name: "all", values: samples.map((one) => one.loss) },
        { name: "worst", values: samples.map((one) => one.worst), dashed: true },
      ] })}
      ${chart({ title: "Pace", testid: "chart-rate", times, least: 1000, say: rate, lines: [{ name: "now", values: samples.map((one) => one.rate) }] })}
    </section>`;
  }

  async #csv(rollout: Rollout): Promise<void> {
    const text = await attempt(engine.firmwareReport(rollout.job));
    if (text !== undefined) {
      download(fileName(rollout.group, "firmware", rollout.image.version, stamp()) + ".csv", "text/csv", text);
      tell("The report is in your downloads.");
    }
  }
}
