import { html } from "lit";
import { blink, blinking } from "../actions";
import type { Device } from "../engine.gen";
import { icon } from "../icons";
import { state } from "../state";

/** Makes one device blink: which one is it? */
export function blinkButton(device: Device, testid = "device-blink") {
  const on = blinking.has(device.id);
  return html`<button class="btn sm blink ${on ? "on" : ""}" aria-label=${`${on ? "Blinking" : "Blink"}: ${device.name || device.id}`} aria-disabled=${on} data-testid=${testid}
    ?disabled=${!state.ready} @click=${(event: Event) => { event.stopPropagation(); if (!on) void blink(device.id); }}>
    ${icon("blink")}<span>${on ? "Blinking" : "Blink"}</span>
  </button>`;
}
