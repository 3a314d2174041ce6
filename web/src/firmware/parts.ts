// The parts of an image, generations to the protocol: each is repaired by itself.

import { html, svg } from "lit";
import type { Rollout, RolloutGeneration } from "../engine.gen";
import { count } from "../format";
import { lamps } from "../parts/job";
import { state } from "../state";
import { taking } from "./progress";

const room = 10; // of a bar, with the gap to the next
const gap = 0.6;
const height = 100;

/** One bar: what went out stands behind what is complete. */
function bar(one: RolloutGeneration, index: number, devices: number) {
  const sent = one.k ? Math.min(1, one.sent / one.k) * height : 0;
  const have = Math.min(1, one.complete / devices) * height;
  const x = index * room + gap / 2;
  return svg`<rect class="track" x=${x} y="0" width=${room - gap} height=${height}></rect>
    <rect class="sent" x=${x} y=${height - sent} width=${room - gap} height=${sent}></rect>
    <rect class="have" x=${x} y=${height - have} width=${room - gap} height=${have}></rect>`;
}

/** A bar for each part of the image: whether it was sent, and how many have it. */
export function parts(rollout: Rollout) {
  const generations = rollout.generations ?? [];
  const devices = taking(rollout).length || 1;
  const whole = generations.filter((one) => one.complete >= devices).length;
  const lacking = Math.max(0, ...generations.map((one) => one.worst));
  const label = `${whole} of ${count(generations.length, "part")} ${whole === 1 ? "is" : "are"} complete on all`;
  return html`<figure class="parts">
    <figcaption><strong>Parts of the image</strong><span class="muted small">${label}${lacking ? `, the worst lacks ${count(lacking, "block")} of one` : ""}</span></figcaption>
    <div class="plot" role="img" aria-label="${label}. ${generations.length <= 16 ? generations.map((one, i) => `Part ${i + 1}: ${one.complete} of ${devices}`).join(", ") : ""}" data-testid="rollout-parts">
      <svg viewBox="0 0 ${(generations.length || 1) * room} ${height}" preserveAspectRatio="none" aria-hidden="true">
        ${generations.map((one, i) => bar(one, i, devices))}
      </svg>
    </div>
    <p class="keys"><span class="sent"><i aria-hidden="true"></i>sent once</span><span class="have"><i aria-hidden="true"></i>complete, as a part of all ${lamps(taking(rollout).map((one) => state.devices.get(one.device)))}</span></p>
  </figure>`;
}
