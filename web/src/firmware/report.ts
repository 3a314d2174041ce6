// What came of an update, for paper: shown when it is printed.

import { html } from "lit";
import type { Rollout } from "../engine.gen";
import { clock, count } from "../format";
import { deviceName, groupTitle } from "../parts/job";
import { state } from "../state";
import { sorted } from "./devices";
import { inState, ratio, taking } from "./progress";
import { bytes, duration, percent } from "./units";
import { imageName, profileName, standing, standingWords } from "./words";

export function report(rollout: Rollout) {
  const { image } = rollout;
  const run = inState(taking(rollout), "confirmed").length;
  const last = (rollout.samples ?? []).at(-1);
  const fact = (name: string, value: unknown) => html`<dt>${name}</dt><dd>${value}</dd>`;
  return html`<section class="report" data-testid="rollout-report" aria-label="Report">
    <h1>Firmware report: ${groupTitle(rollout.group)}</h1>
    <p>${state.site.name}${state.site.installer ? `, by ${state.site.installer}` : ""}. ${run} of ${count(taking(rollout).length, "device")} run ${imageName(image)}.</p>
    <dl class="facts">
      ${fact("Image", `${imageName(image)}, ${bytes(image.size)}, sequence number ${image.sequence}`)}
      ${fact("SHA-256", html`<span class="id">${image.digest}</span>`)}
      ${fact("Signed by", html`<span class="id">${image.signer}</span> ${image.signed ? "(verified)" : "(not verified here)"}`)}
      ${fact("From, to", `${clock(rollout.started)}, ${clock(rollout.ended)}: ${duration((rollout.ended - rollout.started) / 1000)}`)}
      ${fact("Sent", `${bytes(rollout.bytes)} over ${profileName(rollout.options.profile)}: ${ratio(rollout).toFixed(2)} blocks for each of ${count(rollout.blocks, "block")}, ${count(rollout.sweeps, "round")} of answers`)}
      ${last ? fact("Loss at the end", `${percent(last.loss)}, worst device ${percent(last.worst)}`) : ""}
      ${fact("Waves", (rollout.waves ?? []).map((one) => `${one.name}: ${one.done} of ${(one.devices ?? []).length}`).join("; "))}
    </dl>
    <table>
      <thead><tr><th>Device</th><th>Place</th><th>State</th><th>Runs</th><th>Reason</th></tr></thead>
      <tbody>${sorted(rollout).map((one) => html`<tr>
        <td>${deviceName(one.device)}</td><td>${state.devices.get(one.device)?.place ?? ""}</td>
        <td>${standingWords(standing(one)).word}</td><td>${one.version || "–"}</td><td>${one.problem?.text ?? ""}</td>
      </tr>`)}</tbody>
    </table>
  </section>`;
}
