// The four steps of an update: checked, sent, verified, switched.

import { html, nothing } from "lit";
import type { FirmwareWave, Rollout } from "../engine.gen";
import { count, minute } from "../format";
import { icon, type Icon } from "../icons";
import type { Tone } from "../words";
import { inState, received, stage, taking, withImage, type Stage } from "./progress";
import { duration } from "./units";

interface Step {
  id: "checked" | "sending" | "verified" | "switched";
  title: string;
  text: string;
  tone: Tone;
}

/** "3, then 10, then 87" */
function sequence(waves: FirmwareWave[]): string {
  return waves.map((wave) => (wave.devices ?? []).length).join(", then ");
}

/** The devices are still asked what they are. */
const asking = (rollout: Rollout): boolean => rollout.phase === "planning" && !rollout.ended;

/** Of a step that begins with one stage and is over with another. */
function tone(rollout: Rollout, begins: Stage, over: Stage): Tone {
  const stages: Stage[] = ["sending", "verifying", "switching", "done"];
  const now = stages.indexOf(stage(rollout));
  if (now >= stages.indexOf(over)) {
    return "ok";
  }
  if (now < stages.indexOf(begins) || asking(rollout)) {
    return "plain";
  }
  return rollout.phase === "stopped" || rollout.phase === "failed" ? "fail" : "busy";
}

function checked(rollout: Rollout): Step {
  const all = (rollout.devices ?? []).length;
  const left = all - taking(rollout).length;
  if (asking(rollout)) {
    return { id: "checked", title: "Checking", text: `asking ${count(all, "device")} what they are`, tone: "busy" };
  }
  return { id: "checked", title: "Checked", text: left ? `${left} of ${count(all, "device")} left out` : "signature, hardware, space", tone: "ok" };
}

function sent(rollout: Rollout): Step {
  const now = stage(rollout);
  const share = `${Math.min(99, Math.floor(received(rollout) * 100))}\u00a0%`;
  if (asking(rollout)) {
    return { id: "sending", title: "Sending", text: "to all at once", tone: "plain" };
  }
  if (now === "sending") {
    const left = rollout.left && !rollout.paused && !rollout.ended ? `, all done in ${duration(rollout.left)}` : "";
    const text = `${Math.min(rollout.sent, rollout.blocks)} of ${count(rollout.blocks, "block")}${left}`;
    return { id: "sending", title: `Sending ${share}`, text, tone: tone(rollout, "sending", "verifying") };
  }
  const text = `${count(rollout.blocks, "block")}, ${rollout.parity + rollout.unicast} more for repair`;
  const repairing = now === "verifying" && withImage(rollout) < taking(rollout).length;
  return { id: "sending", title: repairing ? `Repairing ${share}` : "Sent", text, tone: repairing ? tone(rollout, "sending", "switching") : "ok" };
}

function verified(rollout: Rollout): Step {
  const have = withImage(rollout);
  const text = have || stage(rollout) !== "sending" ? `${have} of ${taking(rollout).length}, by their own digest` : "each lamp’s own digest";
  return { id: "verified", title: "Verified", text, tone: tone(rollout, "verifying", "switching") };
}

function switched(rollout: Rollout): Step {
  const all = taking(rollout).length;
  const run = inState(taking(rollout), "confirmed").length;
  const over = stage(rollout) === "done";
  const text = run || over ? `${run} of ${all} ${run === 1 ? "runs" : "run"} it` : rollout.options.at > Date.now() ? `at ${minute(rollout.options.at)}` : sequence(rollout.waves ?? []);
  return { id: "switched", title: "Switched", text, tone: over && run < all ? "warn" : tone(rollout, "switching", "done") };
}

const icons: Partial<Record<Tone, Icon>> = { ok: "ok", busy: "wait", warn: "warn", fail: "fail" };

export function steps(rollout: Rollout) {
  return html`<ol class="steps" aria-label="Steps">
    ${[checked, sent, verified, switched].map((one) => step(one(rollout)))}
  </ol>`;
}

function step({ id, title, text, tone }: Step) {
  const image = icons[tone];
  return html`<li class=${tone} data-testid="rollout-step" data-step=${id} data-tone=${tone} aria-current=${tone === "busy" ? "step" : nothing}>
    <strong>${image ? icon(image) : nothing}${id === "sending" ? html`<span data-testid="rollout-percent">${title}</span>` : title}</strong>
    <span data-testid="rollout-step-text">${text}</span>
  </li>`;
}
