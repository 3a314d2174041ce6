// When devices switch, and how long they wait to be confirmed.

import { html, nothing } from "lit";
import type { SettingsChange } from "../engine.gen";
import { local } from "../firmware/options";

/** In how many seconds "at once" is: all have to hear of it first. */
const soon = 3;

export interface When {
  change: SettingsChange;
  /** that take part */
  devices: number;
  write(part: Partial<SettingsChange>): void;
}

const numberOf = (event: Event): number | undefined => {
  const input = event.target as HTMLInputElement;
  if (input.checkValidity()) {
    return Number(input.value);
  }
  input.reportValidity();
  return undefined;
};

export function when({ change, devices, write }: When) {
  const kind = change.at ? "at" : change.in > soon ? "in" : "now";
  const choice = (id: string, word: string, part: Partial<SettingsChange>) =>
    html`<button aria-pressed=${kind === id} data-testid="when-${id}" @click=${() => write(part)}>${word}</button>`;
  const seconds = (event: Event) => {
    const n = numberOf(event);
    if (n !== undefined) {
      write({ in: n, at: 0 });
    }
  };
  const moment = (event: Event) => {
    const input = event.target as HTMLInputElement;
    const at = new Date(input.value).getTime();
    input.setCustomValidity(at > Date.now() ? "" : "Give a time that is still to come.");
    if (input.reportValidity()) {
      write({ at, in: 0 });
    }
  };
  return html`<div class="when">
    <div class="field"><span class="label" id="when-label">Switch</span>
      <div class="seg" role="group" aria-labelledby="when-label">
        ${choice("now", "At once", { in: 0, at: 0 })} ${choice("in", "In a while", { in: 60, at: 0 })} ${choice("at", "At a time", { in: 0, at: Math.ceil((Date.now() + 300_000) / 60_000) * 60_000 })}
      </div>
      ${kind === "in" ? html`<span class="unit"><label for="when-seconds">in</label><input class="input" id="when-seconds" data-testid="when-seconds" type="number" inputmode="numeric" min="4" max="86400" .value=${String(change.in)} @input=${seconds} /><span>s</span></span>` : nothing}
      ${kind === "at" ? html`<span class="unit"><label for="when-time">at</label><input class="input" id="when-time" data-testid="when-time" type="datetime-local" .value=${local(change.at)} @change=${moment} /></span>` : nothing}
      <span class="hint">${kind === "at" ? "For devices that have a clock; the others refuse." : kind === "in" ? "Each device counts by itself; all switch together." : `All switch together, ${soon} seconds after they were told.`}</span>
    </div>
    <div class="field"><label for="when-confirm">Go back unless confirmed within</label>
      <span class="unit"><input class="input" id="when-confirm" data-testid="when-confirm" type="number" inputmode="numeric" min="10" max="86400" placeholder="600" .value=${change.confirmWithin ? String(change.confirmWithin) : ""} @input=${(event: Event) => { const n = numberOf(event); if (n !== undefined) write({ confirmWithin: n }); }} /><span>s</span></span>
      <span class="hint">Devices do it by themselves, even if this page is gone.</span>
    </div>
    <div class="field"><label for="when-quorum">Switch only if</label>
      <span class="unit"><input class="input" id="when-quorum" data-testid="when-quorum" type="number" inputmode="numeric" min="1" max=${devices || 1} placeholder="all" .value=${change.quorum ? String(change.quorum) : ""} @input=${(event: Event) => { const n = numberOf(event); if (n !== undefined) write({ quorum: n }); }} /><span>of ${devices} go along</span></span>
      <span class="hint">With fewer, nothing is switched and all forget the change.</span>
    </div>
  </div>`;
}
