// The waves of an update, with a square for each lamp.

import { html } from "lit";
import { guard } from "lit/directives/guard.js";
import type { FirmwareWave, Rollout, RolloutDevice } from "../engine.gen";
import { lamps } from "../parts/job";
import { state } from "../state";
import { status } from "../words";
import { taking } from "./progress";
import { order, standing, standingWords, waveState, type Standing } from "./words";

/** Tells the squares of a device in four heights while it receives. */
function look(device: RolloutDevice): string {
  return device.state === "receiving" ? `receiving q${Math.min(3, Math.floor(device.progress * 4))}` : standing(device);
}

const standingAt = (devices: RolloutDevice[], at: Standing): number => devices.filter((one) => standing(one) === at).length;

/** How many stand where, the worst first. */
function tally(devices: RolloutDevice[]): string {
  return order
    .map((one) => [standingWords(one).word, standingAt(devices, one)] as const)
    .filter(([, n]) => n)
    .map(([word, n]) => `${n} ${word}`)
    .join(", ");
}

function wave(rollout: Rollout, one: FirmwareWave, index: number, byId: Map<string, RolloutDevice>) {
  const ids = one.devices ?? [];
  const devices = ids.map((id) => byId.get(id)).filter((device) => device !== undefined);
  const words = waveState(one, devices, rollout);
  const places = new Set(ids.map((id) => state.devices.get(id)?.place).filter(Boolean)).size;
  const most = rollout.options.maxUnavailable;
  const size = lamps(ids.map((id) => state.devices.get(id)));
  return html`<li class="wave" data-testid="wave" data-wave=${index} data-state=${one.state} data-done=${one.done} data-failed=${one.failed}>
    <strong>${one.name}</strong>
    <span class="small muted">${size}${places > 1 ? `, ${places} places` : ""}${ids.length > 1 ? `, at most ${most || "half"} of a place at a time` : ""}</span>
    ${guard([devices], () => html`<div class="squares" role="img" aria-label="${one.name}, ${size}: ${tally(devices)}" data-testid="wave-lamps">${devices.map((device) => html`<i class=${look(device)}></i>`)}</div>`)}
    ${status(words, "wave-state")}
  </li>`;
}

/** The waves, and what their squares mean. */
export function waves(rollout: Rollout) {
  const byId = new Map((rollout.devices ?? []).map((device) => [device.device, device]));
  const present = order.map((one) => [one, standingAt(taking(rollout), one)] as const).filter(([, n]) => n);
  return html`<ul class="waves" aria-label="Waves">${(rollout.waves ?? []).map((one, index) => wave(rollout, one, index, byId))}</ul>
    <ul class="legend" aria-label="How many stand where" data-testid="rollout-legend">
      ${present.map(([one, n]) => html`<li><i class="square ${one === "receiving" ? "receiving q2" : one}" aria-hidden="true"></i>${status({ ...standingWords(one), word: `${n} ${standingWords(one).word}` })}</li>`)}
    </ul>`;
}
