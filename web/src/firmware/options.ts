// How an update goes, for who wants it otherwise than it goes by itself.

import { html, nothing } from "lit";
import type { FirmwareOptions } from "../engine.gen";
import { icon } from "../icons";

interface Field {
  key: "canary" | "percent" | "maxUnavailable" | "soak" | "confirmWithin" | "threshold";
  testid: string;
  word: string;
  unit: string;
  hint: string;
  least: number;
  most: number;
  /** how it goes when nothing is chosen */
  usual: string;
}

const fields: readonly Field[] = [
  { key: "canary", testid: "firmware-canary", word: "First wave", unit: "lamps", hint: "Canaries: they try it before all others.", least: 1, most: 1000, usual: "1" },
  { key: "percent", testid: "firmware-percent", word: "Second wave", unit: "%", hint: "Of all lamps. The rest follows.", least: 1, most: 100, usual: "10" },
  { key: "maxUnavailable", testid: "firmware-unavailable", word: "At most", unit: "a place", hint: "That switch at a time. Empty: half of a place, so that no room goes dark.", least: 1, most: 1000, usual: "half" },
  { key: "soak", testid: "firmware-soak", word: "Watch each wave for", unit: "seconds", hint: "Before the next one.", least: 0, most: 86400, usual: "0" },
  { key: "confirmWithin", testid: "firmware-confirm-within", word: "Go back after", unit: "seconds", hint: "If nobody confirms that a lamp is well.", least: 30, most: 86400, usual: "600" },
  { key: "threshold", testid: "firmware-threshold", word: "Stop when more fail than", unit: "%", hint: "One in the first wave is always enough.", least: 0, most: 100, usual: "5" },
];

/** As a field for date and time has it: local, without a zone. */
export function local(at: number): string {
  const two = (n: number) => String(n).padStart(2, "0");
  const date = new Date(at);
  return `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())}T${two(date.getHours())}:${two(date.getMinutes())}`;
}

export function options(chosen: FirmwareOptions, change: (part: Partial<FirmwareOptions>) => void) {
  return html`<details class="options">
    <summary data-testid="firmware-options">${icon("open")}Options</summary>
    <div class="fields">
      ${fields.map((field) => number(field, chosen, change))}
      ${time(chosen, change)}
      <label class="choice"><input type="checkbox" data-testid="firmware-hold" .checked=${chosen.hold} @change=${(event: Event) => change({ hold: (event.target as HTMLInputElement).checked })} />
        <span><strong>Wait for me between waves</strong><span class="muted small">The next wave starts when you press a button.</span></span></label>
    </div>
  </details>`;
}

/** An empty field: as it goes by itself. */
function number(field: Field, chosen: FirmwareOptions, change: (part: Partial<FirmwareOptions>) => void) {
  const id = "option-" + field.key;
  const own = chosen[field.key];
  const set = (event: Event) => {
    const input = event.target as HTMLInputElement;
    if (input.value === "" || input.checkValidity()) {
      change({ [field.key]: Number(input.value) });
    } else {
      input.reportValidity();
    }
  };
  return html`<div class="field">
    <label for=${id}>${field.word}</label>
    <span class="unit"><input class="input" id=${id} data-testid=${field.testid} type="number" inputmode="numeric" min=${field.least} max=${field.most} step="1" .value=${own ? String(own) : ""} placeholder=${field.usual} aria-describedby="${id}-hint" @change=${set} /><span>${field.unit}</span></span>
    <span class="hint" id="${id}-hint">${field.hint}</span>
  </div>`;
}

function time(chosen: FirmwareOptions, change: (part: Partial<FirmwareOptions>) => void) {
  const now = Date.now();
  const set = (event: Event) => {
    const value = (event.target as HTMLInputElement).value;
    change({ at: value ? new Date(value).getTime() : 0 });
  };
  return html`<div class="field">
    <label for="option-at">Switch at</label>
    <span class="unit"><input class="input" id="option-at" data-testid="firmware-at" type="datetime-local" .value=${chosen.at ? local(chosen.at) : ""} min=${local(now)} max=${local(now + 86_400_000)} aria-describedby="option-at-hint" @change=${set} />
      ${chosen.at ? html`<button class="btn sm" data-testid="firmware-at-once" @click=${() => change({ at: 0 })}>At once</button>` : nothing}</span>
    <span class="hint" id="option-at-hint">Empty: as soon as all is verified. At most a day ahead.</span>
  </div>`;
}
