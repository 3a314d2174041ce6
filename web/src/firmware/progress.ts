// How far a rollout is, from what the engine says of it.

import type { Rollout, RolloutDevice, RolloutState } from "../engine.gen";

export type Stage = "sending" | "verifying" | "switching" | "done";

/** They have the whole image, or had it. */
const complete: readonly RolloutState[] = ["verified", "switching", "testing", "confirmed", "reverted"];

/** Devices that the rollout is for. */
export const taking = (rollout: Rollout): RolloutDevice[] => (rollout.devices ?? []).filter((one) => one.state !== "left-out");

export const inState = (devices: RolloutDevice[], ...states: RolloutState[]): RolloutDevice[] => devices.filter((one) => states.includes(one.state));

export const withImage = (rollout: Rollout): number => inState(taking(rollout), ...complete).length;

/** Where it stands, or stood when it was paused or ended. */
export function stage(rollout: Rollout): Stage {
  switch (rollout.phase) {
    case "planning":
    case "sending":
      return "sending";
    case "verifying":
    case "switching":
    case "done":
      return rollout.phase;
    default:
      if ((rollout.waves ?? []).some((wave) => wave.state !== "waiting")) {
        return "switching";
      }
      return inState(taking(rollout), "waiting", "receiving").length === 0 && withImage(rollout) > 0 ? "verifying" : "sending";
  }
}

/** The part of the image that the devices which listen have, 0 to 1. */
export function received(rollout: Rollout): number {
  const listening = taking(rollout).filter((one) => !["silent", "failed"].includes(one.state));
  if (listening.length === 0) {
    return 0;
  }
  const sum = listening.reduce((total, one) => total + (complete.includes(one.state) ? 1 : one.progress), 0);
  // Between two rounds of answers only the sender knows.
  const out = rollout.sweeps === 0 && rollout.blocks ? Math.min(1, rollout.sent / rollout.blocks) : 0;
  return Math.max(sum / listening.length, out);
}

/** Blocks on the air for each block of the image that went out so far; 0: none did. */
export function ratio(rollout: Rollout): number {
  const out = Math.min(rollout.sent, rollout.blocks);
  return out ? (rollout.sent + rollout.parity + rollout.unicast) / out : 0;
}
