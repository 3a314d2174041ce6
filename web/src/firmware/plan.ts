// What the update would take, how it goes, and the one button that begins it.

import { html, nothing } from "lit";
import type { FirmwareOptions, FirmwarePlan, GroupAsk } from "../engine.gen";
import { clock, count } from "../format";
import { icon } from "../icons";
import { askedInWords } from "../parts/asked";
import { bones } from "../parts/empty";
import { lamps } from "../parts/job";
import { note } from "../parts/note";
import { stats } from "../parts/stats";
import { state } from "../state";
import { options as optionFields } from "./options";
import { bytes, duration } from "./units";
import { profiles } from "./words";

export interface PlanCard {
  plan: FirmwarePlan | undefined;
  options: FirmwareOptions;
  planning: boolean;
  starting: boolean;
  group: string;
  /** who has answered so far, while the plan is made */
  asked: GroupAsk | undefined;
  change(part: Partial<FirmwareOptions>): void;
  start(): void;
}

/** "1 lamp first, then 2, then the other 15" */
export function wavesInWords(plan: FirmwarePlan): string {
  const sizes = (plan.waves ?? []).map((wave) => (wave.devices ?? []).length).filter(Boolean);
  if (sizes.length < 2) {
    return sizes.length ? `all ${sizes[0]} at once` : "nobody";
  }
  const first = lamps((plan.waves[0]?.devices ?? []).map((id) => state.devices.get(id)));
  const middle = sizes.slice(1, -1).map((size) => `then ${size}`);
  return [`${first} first`, ...middle, `then the other ${sizes.at(-1)}`].join(", ");
}

export function planCard(one: PlanCard) {
  const { plan } = one;
  return html`<section class="card plan" aria-labelledby="plan" data-testid="firmware-plan" aria-busy=${one.planning} data-fits=${plan?.fits ?? ""} data-left=${plan?.left ?? ""}>
    <div class="sect">
      <h2 id="plan">What it would take</h2>
      <span role="status">${one.planning ? html`<span class="st busy" data-testid="firmware-planning">${icon("wait")}${askedInWords(one.asked, `asking the lamps of ${one.group} what they run`)}</span>` : nothing}</span>
    </div>
    ${plan?.fits ? numbers(plan) : !plan && one.planning ? bones() : nothing}
    <div class="body">
      ${plan?.problem ? note({ tone: "warn", icon: "warn", testid: "firmware-plan-problem", title: plan.problem.text, text: plan.problem.next }) : nothing}
      ${profileChoice(one)}
      ${plan && plan.fits ? html`<p data-testid="firmware-waves"><strong>Switching:</strong> ${wavesInWords(plan)}. Each lamp is tried after its restart; one that does not come back well goes back by itself.</p>` : nothing}
      ${optionFields(one.options, one.change)}
      <div class="acts">
        <p class="muted small">Nothing has been sent yet.</p>
        <button class="btn go" data-testid="firmware-start" ?disabled=${!plan || !plan.fits || !!plan.problem || one.planning || one.starting} aria-busy=${one.starting} @click=${one.start}>
          ${icon("upload")}${plan?.fits ? `Send to ${lamps((plan.devices ?? []).filter((fit) => fit.fits).map((fit) => state.devices.get(fit.device)))}` : "Send"}
        </button>
      </div>
    </div>
  </section>`;
}

function numbers(plan: FirmwarePlan) {
  return stats([
    { value: count(plan.blocks, "block"), label: `of ${bytes(plan.blockSize)}`, testid: "firmware-blocks" },
    { value: bytes(plan.bytes), label: "on the air, with what repairs losses", testid: "firmware-airtime" },
    { value: duration(plan.seconds), label: `to send; begun now, it ends ${clock(Date.now() + plan.seconds * 1000)}`, testid: "firmware-end" },
    { value: duration(plan.unicastSeconds), label: "if each were sent its own, one by one", testid: "firmware-one-by-one" },
  ]);
}

function profileChoice(one: PlanCard) {
  const now = profiles.find(([id]) => id === one.options.profile);
  return html`<div class="profile">
    <span class="label" id="profile">Network of the lamps</span>
    <div class="seg" role="group" aria-labelledby="profile">
      ${profiles.map(([id, word]) => html`<button aria-pressed=${id === one.options.profile} data-testid="firmware-profile-${id}" @click=${() => one.change({ profile: id })}>${word}</button>`)}
    </div>
    <span class="muted small">${now?.[2] ?? ""}</span>
  </div>`;
}
