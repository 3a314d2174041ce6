// Which devices an image fits, and why the others are left out.

import { html, nothing } from "lit";
import { repeat } from "lit/directives/repeat.js";
import type { FirmwareFit, FirmwarePlan } from "../engine.gen";
import { byName, count } from "../format";
import { icon } from "../icons";
import { deviceName } from "../parts/job";
import { note } from "../parts/note";
import { status, type Words } from "../words";

/** Reasons that a person may want otherwise. */
const words: Record<string, Words> = {
  "fw-running": { tone: "ok", icon: "ok", word: "has it already" },
  "fw-busy": { tone: "warn", icon: "people", word: "somebody else’s" },
  "fw-silent": { tone: "fail", icon: "doubt", word: "silent" },
};
const leftOut: Words = { tone: "warn", icon: "stop", word: "left out" };
/** So many that are left out are each shown at once. */
const few = 6;

const fine: Words = { tone: "ok", icon: "ok", word: "fits" };

export function fits(plan: FirmwarePlan, takeOver: () => void, again: () => void) {
  const all = [...(plan.devices ?? [])].sort((a, b) => byName(deviceName(a.device), deviceName(b.device)));
  const left = all.filter((fit) => !fit.fits);
  const good = all.filter((fit) => fit.fits);
  const busy = left.filter((fit) => fit.problem?.id === "fw-busy").length;
  const silent = left.filter((fit) => fit.problem?.id === "fw-silent").length;
  return html`<section class="card fits" aria-labelledby="fits">
    <div class="sect">
      <h2 id="fits">Whom it fits</h2>
      ${status({ ...(good.length ? fine : leftOut), word: `${good.length} of ${all.length}` }, "firmware-fits")}
      ${silent ? html`<button class="btn push" data-testid="firmware-again" @click=${again}>${icon("job")}Ask again</button>` : nothing}
    </div>
    <div class="body">
      ${busy
        ? note({ tone: "warn", icon: "people", title: `Somebody else is updating ${busy} of these lamps.`, text: "Taking over goes on with your file; the other update stops there.", action: { word: "Take over", testid: "firmware-take-over", run: takeOver } })
        : nothing}
      ${left.length > few
        ? html`${reasons(left)}<details><summary data-testid="firmware-all-left">${icon("open")}${left.length} left out</summary>${list(left)}</details>`
        : left.length ? list(left) : html`<p class="muted">Nobody is left out.</p>`}
      ${good.length
        ? html`<details><summary data-testid="firmware-all">${icon("open")}${count(good.length, "device")} that it fits</summary>
            <ul class="left" aria-label="It fits">${repeat(good, (fit) => fit.device, row)}</ul></details>`
        : nothing}
    </div>
  </section>`;
}

const list = (left: FirmwareFit[]) => html`<ul class="left" data-testid="firmware-left" aria-label="Left out">${repeat(left, (fit) => fit.device, row)}</ul>`;

/** Each reason once, and for how many. */
function reasons(left: FirmwareFit[]) {
  const by = new Map<string, FirmwareFit[]>();
  left.forEach((fit) => by.set(fit.problem?.id ?? "", [...(by.get(fit.problem?.id ?? "") ?? []), fit]));
  return html`<ul class="left" aria-label="Reasons" data-testid="firmware-reasons">${[...by.values()].map((some) => html`<li>
    <strong>${count(some.length, "device")}</strong>
    <span>${some[0]?.problem?.text} <span class="muted">${some[0]?.problem?.next}</span></span>
    ${status(words[some[0]?.problem?.id ?? ""] ?? leftOut)}
  </li>`)}</ul>`;
}

function row(fit: FirmwareFit) {
  const state = fit.fits ? fine : (words[fit.problem?.id ?? ""] ?? leftOut);
  return html`<li data-testid="firmware-fit" data-device=${fit.device} data-fits=${fit.fits} data-problem=${fit.problem?.id ?? ""}>
    <strong>${deviceName(fit.device)}</strong>
    <span data-testid="firmware-reason">${fit.problem ? html`${fit.problem.text} <span class="muted">${fit.problem.next}</span>` : html`<span class="muted">runs ${fit.version || "no version"}</span>`}</span>
    ${status(state)}
  </li>`;
}
