// The four steps of an update, and its waves with a square for each lamp.

import { html, nothing } from "lit";
import { guard } from "lit/directives/guard.js";
import type { FirmwareWave, Rollout, RolloutDevice } from "../engine.gen";
import { count, minute } from "../format";
import { icon } from "../icons";
import { lamps } from "../parts/job";
import { state } from "../state";
import { status, type Tone } from "../words";
import { inState, received, stage, taking, withImage } from "./progress";
import { duration } from "./units";
import { order, rolloutState, waveState } from "./words";

interface Step {
  id: string;
  title: string;
  text: string;
  tone: Tone;
}

/** "3, then 10, then 87" */
export function sequence(waves: FirmwareWave[]): string {
  return waves.map((wave) => (wave.devices ?? []).length).join(", then ");
}

function all(rollout: Rollout): Step[] {
  const now = stage(rollout);
  const devices = taking(rollout);
  const left = (rollout.devices ?? []).length - devices.length;
  const have = withImage(rollout);
  const run = inState(devices, "confirmed").length;
  const broken = rollout.phase === "stopped" || rollout.phase === "failed";
  const tone = (mine: typeof now, is: boolean): Tone => (is ? "ok" : now !== mine ? "plain" : broken ? "fail" : "busy");
  const repaired = rollout.parity + rollout.unicast;
  const sending = now === "sending";
  const repairing = now === "verifying" && have < devices.length;
  return [
    { id: "checked", title: "Checked", text: left ? `${left} of ${count(left + devices.length, "device")} left out` : "signature, hardware, space", tone: "ok" },
    {
      id: "sending",
      title: sending || repairing ? `${sending ? "Sending" : "Repairing"} ${Math.min(99, Math.floor(received(rollout) * 100))}\u00a0%` : "Sent",
      text: sending
        ? `${Math.min(rollout.sent, rollout.blocks)} of ${count(rollout.blocks, "block")}${rollout.left && !rollout.paused && !rollout.ended ? `, ${duration(rollout.left)} left` : ""}`
        : `${count(rollout.blocks, "block")}, ${repaired} more for repair`,
      tone: repairing ? tone(now, false) : tone("sending", !sending),
    },
    { id: "verified", title: "Verified", text: have || !sending ? `${have} of ${devices.length}, by their own digest` : "each lamp’s own digest", tone: tone("verifying", !sending && now !== "verifying") },
    {
      id: "switched",
      title: "Switched",
      text: run || now === "done" ? `${run} of ${devices.length} ${run === 1 ? "runs" : "run"} it` : rollout.options.at > Date.now() ? `at ${minute(rollout.options.at)}` : sequence(rollout.waves ?? []),
      tone: now === "done" ? (run < devices.length ? "warn" : "ok") : tone("switching", false),
    },
  ];
}

export function steps(rollout: Rollout) {
  return html`<ol class="steps" aria-label="Steps">
    ${all(rollout).map((step) => html`<li class=${step.tone} data-testid="rollout-step" data-step=${step.id} data-tone=${step.tone} aria-current=${step.tone === "busy" ? "step" : nothing}>
      <strong>${step.tone === "ok" ? icon("ok") : step.tone === "busy" ? icon("wait") : step.tone === "plain" ? nothing : icon("fail")}${step.id === "sending" ? html`<span data-testid="rollout-percent">${step.title}</span>` : step.title}</strong>
      <span data-testid="rollout-step-text">${step.text}</span>
    </li>`)}
  </ol>`;
}

/** Tells the squares of a device in four heights while it receives. */
function look(device: RolloutDevice): string {
  return device.state === "receiving" ? `receiving q${Math.min(3, Math.floor(device.progress * 4))}` : device.state;
}

/** How many stand where, the worst first. */
function tally(devices: RolloutDevice[]): string {
  return order
    .map((one) => [rolloutState(one).word, inState(devices, one).length] as const)
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
    <span class="small muted">${size}${most ? `, at most ${most} a place` : places > 1 ? `, ${places} places` : ""}</span>
    ${guard([devices], () => html`<div class="squares" role="img" aria-label="${one.name}, ${size}: ${tally(devices)}" data-testid="wave-lamps">${devices.map((device) => html`<i class=${look(device)}></i>`)}</div>`)}
    ${status(words, "wave-state")}
  </li>`;
}

/** The waves, and what their squares mean. */
export function waves(rollout: Rollout) {
  const byId = new Map((rollout.devices ?? []).map((device) => [device.device, device]));
  const present = order.map((one) => [one, inState(taking(rollout), one).length] as const).filter(([, n]) => n);
  return html`<ul class="waves" aria-label="Waves">${(rollout.waves ?? []).map((one, index) => wave(rollout, one, index, byId))}</ul>
    <ul class="legend" aria-label="How many stand where" data-testid="rollout-legend">
      ${present.map(([one, n]) => html`<li><i class="square ${one === "receiving" ? "receiving q2" : one}" aria-hidden="true"></i>${status({ ...rolloutState(one), word: `${n} ${rolloutState(one).word}` })}</li>`)}
    </ul>`;
}
