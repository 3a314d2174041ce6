import { html } from "lit";
import { customElement, property, state as reactive } from "lit/decorators.js";
import type { Group, Light, RollCall } from "../engine.gen";
import { engine } from "../engine/start";
import { icon } from "../icons";
import { attempt } from "../shell/toasts";
import { status, type Words } from "../words";
import { Part } from "./part";
import "./light.css";

/** Steps of the two buttons, for who cannot drag. */
const step = 10;

/** Messages are at least this far apart: a held arrow key is not a message each. */
const pace = 250;

/** "one message, sent 3 times": what went to the group. */
export function sentTo(call: RollCall): string {
  if (call.ended && !call.messages) {
    return "each asked alone";
  }
  const text = call.messages < 2 ? "one message" : call.messages + " messages";
  return call.multicasts > Math.max(1, call.messages) ? `${text}, sent ${call.multicasts} times` : text;
}

/** "one message, 28 of 30": what was sent and what came back. */
export function said(call: RollCall): Words {
  const sent = sentTo(call);
  const total = (call.answers ?? []).length;
  if (!call.ended) {
    return { tone: "busy", icon: "wait", word: `${sent}, ${call.verified} of ${total}` };
  }
  const all = call.verified === total;
  return { tone: all ? "ok" : "fail", icon: all ? "ok" : "fail", word: `${sent}, ${call.verified} of ${total}` };
}

/** Switches and dims a whole group with one message. */
@customElement("ll-light")
export class LightControl extends Part {
  @property({ attribute: false }) group!: Group;
  @property({ type: Boolean }) disabled = false;
  /** what was asked for and is not yet confirmed */
  @reactive() private asked: Light | undefined;
  /** the level under the finger */
  @reactive() private dragged: number | undefined;
  #calls = 0;
  #sent = 0;
  #timer = 0;

  get #verified() {
    return (this.group.rollCall?.answers ?? []).filter((answer) => answer.state === "verified");
  }

  get #on(): boolean {
    const verified = this.#verified;
    return this.asked?.on ?? this.group.light?.on ?? verified.filter((answer) => answer.on).length * 2 > verified.length;
  }

  get #level(): number {
    const levels = this.#verified.map((answer) => answer.level).sort((a, b) => a - b);
    return this.dragged ?? this.asked?.level ?? this.group.light?.level ?? levels[levels.length >> 1] ?? 100;
  }

  protected override updated(): void {
    this.querySelector<HTMLElement>(".range")?.style.setProperty("--level", String(this.#level / 100));
  }

  protected override render() {
    const on = this.#on;
    const level = this.#level;
    const call = this.group.rollCall;
    return html`<section class="card control" aria-label="Light">
      <button class="switch" role="switch" aria-checked=${on} aria-label="All lamps" data-testid="light-switch" ?disabled=${this.disabled} @click=${() => this.#send({ on: !on })}><span aria-hidden="true">${on ? "On" : "Off"}</span></button>
      <div class="dim">
        <label for="light-level">Brightness <output data-testid="light-level-value">${level} %</output></label>
        <button class="btn bare icon" aria-label="Darker" data-testid="light-darker" ?disabled=${this.disabled || level <= 1} @click=${() => this.#send({ on: true, level: Math.max(1, level - step) })}>${icon("minus")}</button>
        <input class="range ${on ? "" : "off"}" id="light-level" data-testid="light-level" type="range" min="1" max="100" .value=${String(level)} aria-valuetext="${level} percent" ?disabled=${this.disabled}
          @input=${(event: Event) => (this.dragged = Number((event.target as HTMLInputElement).value))}
          @change=${(event: Event) => this.#send({ on: true, level: Number((event.target as HTMLInputElement).value) })} />
        <button class="btn bare icon" aria-label="Brighter" data-testid="light-brighter" ?disabled=${this.disabled || level >= 100} @click=${() => this.#send({ on: true, level: Math.min(100, level + step) })}>${icon("plus")}</button>
      </div>
      <span class="said" role="status">${this.asked && call?.kind !== "light"
        ? status({ tone: "busy", icon: "wait", word: "sending" }, "light-result")
        : call?.kind === "light" ? status(said(call), "light-result") : ""}</span>
    </section>`;
  }

  /** Shows at once what was asked for; of several in quick succession the last is sent. */
  #send(light: Light): void {
    this.asked = { ...this.asked, ...light };
    this.dragged = undefined;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => void this.#message(light), Math.max(0, this.#sent + pace - Date.now()));
  }

  /** The message; what was asked for is shown no more if it was refused. */
  async #message(light: Light): Promise<void> {
    const call = ++this.#calls;
    this.#sent = Date.now();
    await attempt(engine.setLight(this.group.name, light));
    if (call === this.#calls) {
      this.asked = undefined;
    }
  }
}
