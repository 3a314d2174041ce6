import { html } from "lit";
import { customElement, property } from "lit/decorators.js";
import { openDevice } from "../dialogs/device";
import type { Answer, Device } from "../engine.gen";
import { minute, ms } from "../format";
import { icon } from "../icons";
import { answerState, status } from "../words";
import { Part } from "./part";
import "./lamp.css";

/**
 * One lamp. It shows what the last verified answer said: while a new command
 * is under way it keeps its light, and changes when its own answer is in.
 */
@customElement("ll-lamp")
export class Lamp extends Part {
  @property({ attribute: false }) device: Device | undefined;
  @property({ attribute: false }) answer: Answer | undefined;
  @property({ attribute: false }) senderId = "";
  #proved: Answer | undefined;

  protected override willUpdate(): void {
    const state = this.answer?.state;
    if (state !== "waiting" && state !== "asking") {
      this.#proved = state === "verified" ? this.answer : undefined;
    }
  }

  protected override updated(): void {
    const level = this.#proved?.level ?? 0;
    this.querySelector<HTMLElement>(".lamp")?.style.setProperty("--shine", String(level / 100));
  }

  protected override render() {
    const words = answerState(this.answer?.state);
    const on = this.#proved?.on ?? false;
    const name = this.device?.name || this.device?.id || "";
    const shown = on ? `on at ${this.#proved?.level} %` : this.#proved ? "off" : "state unknown";
    return html`<button class="lamp ${words.tone} ${on ? "on" : ""}" aria-label="${name}: ${words.word}, ${shown}, ${this.#detail()}"
      data-testid="lamp" data-device=${this.device?.id ?? ""} data-state=${this.answer?.state ?? "none"} data-on=${on}
      @click=${() => this.device && openDevice(this.device.id)}>
      <span class="r"><i>${icon("bulb")}</i>${status(words)}</span>
      <strong>${name}</strong>
      <span class="ms">${this.#detail()}</span>
    </button>`;
  }

  #detail(): string {
    const answer = this.answer;
    switch (answer?.state) {
      case "verified":
        return `${ms(answer.rtt)} · id ${answer.senderId || this.senderId}`;
      case "asking":
        return "asked by unicast";
      case "waiting":
        return "message is out";
      default:
        return this.device?.lastSeen ? `last seen ${minute(this.device.lastSeen)}` : "never seen";
    }
  }
}
