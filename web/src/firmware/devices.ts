// The devices of an update: those that need a person first, all on demand.

import { html, nothing } from "lit";
import { repeat } from "lit/directives/repeat.js";
import { openDevice } from "../dialogs/device";
import type { Rollout, RolloutDevice } from "../engine.gen";
import { byName, count } from "../format";
import { deviceName } from "../parts/job";
import { status } from "../words";
import { percent } from "./units";
import { order, standing, standingWords, troubled } from "./words";

/** So many rows are drawn at once. */
const most = 200;

export function sorted(rollout: Rollout): RolloutDevice[] {
  return [...(rollout.devices ?? [])].sort((a, b) => order.indexOf(standing(a)) - order.indexOf(standing(b)) || byName(deviceName(a.device), deviceName(b.device)));
}

/** How far one device is, in words. */
export function progress(one: RolloutDevice): string {
  switch (one.state) {
    case "left-out":
      return "";
    case "waiting":
    case "receiving":
    case "silent":
      return `${Math.floor(one.progress * 100)}\u00a0%${one.missing ? `, ${count(one.missing, "block")} missing` : ""}`;
    case "failed":
      return one.progress < 1 ? `${Math.floor(one.progress * 100)}\u00a0%` : "whole image";
    default:
      return "whole image";
  }
}

/** Whether so much was sent to one device alone that a person should know. */
export function aloneMuch(rollout: Rollout, one: RolloutDevice): boolean {
  return one.alone * 8 > rollout.blocks;
}

export function devices(rollout: Rollout, everything: boolean, choose: (everything: boolean) => void) {
  const all = sorted(rollout);
  const trouble = all.filter(troubled);
  const rows = everything ? all : trouble;
  return html`<section class="card devices-of" aria-labelledby="rollout-devices">
    <div class="sect">
      <h2 id="rollout-devices">Devices</h2>
      <div class="seg push" role="group" aria-label="Which devices">
        <button aria-pressed=${!everything} data-testid="rollout-view-trouble" @click=${() => choose(false)}>Not fine <b>${trouble.length}</b></button>
        <button aria-pressed=${everything} data-testid="rollout-view-all" @click=${() => choose(true)}>All <b>${all.length}</b></button>
      </div>
    </div>
    ${rows.length
      ? html`<div class="scroll"><table data-testid="rollout-devices">
          <caption class="sr">Devices</caption>
          <thead><tr><th>Device</th><th>State</th><th>Image</th><th class="wide end">Loss</th><th class="wide">Runs</th><th class="wide">Wave</th></tr></thead>
          <tbody>${repeat(rows.slice(0, most), (one) => one.device, (one) => row(rollout, one))}</tbody>
        </table></div>
        ${rows.length > most ? html`<p class="body muted small">${count(rows.length - most, "more", "more")}; the report lists them all.</p>` : nothing}`
      : html`<p class="body muted">${all.length ? "No device needs you." : "The devices are being asked."}</p>`}
  </section>`;
}

function row(rollout: Rollout, one: RolloutDevice) {
  const words = standingWords(standing(one));
  return html`<tr class=${words.tone === "fail" ? "fail" : ""} data-testid="rollout-device" data-device=${one.device} data-state=${one.state} data-problem=${one.problem?.id ?? ""}>
    <td><button class="link" data-testid="rollout-device-open" @click=${() => openDevice(one.device)}><strong>${deviceName(one.device)}</strong></button></td>
    <td>${status(words, "rollout-device-state")}${one.problem ? html`<span class="next">${one.problem.text} ${one.problem.next}</span>` : nothing}</td>
    <td>${progress(one)}${aloneMuch(rollout, one) ? html`<span class="next">It got ${count(one.alone, "block")} alone: little of what goes to all reached it.</span>` : nothing}</td>
    <td class="wide end">${one.state === "left-out" ? "–" : percent(one.loss)}</td>
    <td class="wide">${one.version || "–"}</td>
    <td class="wide">${rollout.waves?.[one.wave]?.name ?? "–"}</td>
  </tr>`;
}
