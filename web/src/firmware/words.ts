// The states of an update: icon, word and colour.

import type { FirmwareImage, FirmwareWave, Rollout, RolloutDevice, RolloutState, WaveState } from "../engine.gen";
import type { Words } from "../words";

/** What a person sees of a device: one whose part ended because somebody stopped has not failed. */
export type Standing = RolloutState | "dropped";

export const standing = (device: RolloutDevice): Standing => (device.state === "failed" && device.problem?.id === "fw-aborted" ? "dropped" : device.state);

const deviceWords: Record<Standing, Words> = {
  dropped: { tone: "plain", icon: "stop", word: "not updated" },
  "left-out": { tone: "plain", icon: "stop", word: "left out" },
  waiting: { tone: "doubt", icon: "wait", word: "waiting" },
  receiving: { tone: "busy", icon: "download", word: "receiving" },
  verified: { tone: "ok", icon: "shield", word: "complete" },
  switching: { tone: "busy", icon: "wait", word: "switching" },
  testing: { tone: "busy", icon: "wait", word: "trying it" },
  confirmed: { tone: "ok", icon: "ok", word: "updated" },
  reverted: { tone: "fail", icon: "fail", word: "went back" },
  failed: { tone: "fail", icon: "fail", word: "failed" },
  silent: { tone: "fail", icon: "doubt", word: "silent" },
};

export const standingWords = (state: Standing): Words => deviceWords[state];

/** The order in which a board lists them: what needs a person first. */
export const order: readonly Standing[] = ["failed", "reverted", "silent", "left-out", "dropped", "testing", "switching", "receiving", "waiting", "verified", "confirmed"];

/** Needs a person, or at least a look. */
export function troubled(device: RolloutDevice): boolean {
  return ["failed", "reverted", "silent", "left-out"].includes(standing(device));
}

const waveWords: Record<WaveState, Words> = {
  waiting: { tone: "doubt", icon: "wait", word: "waits" },
  switching: { tone: "busy", icon: "wait", word: "switching" },
  checking: { tone: "busy", icon: "wait", word: "trying it" },
  soaking: { tone: "busy", icon: "wait", word: "watched" },
  done: { tone: "ok", icon: "ok", word: "done" },
  failed: { tone: "fail", icon: "fail", word: "failed" },
};

/** A wave that waits says how far its lamps are with the image. */
export function waveState(wave: FirmwareWave, devices: RolloutDevice[], rollout: Rollout): Words {
  if (wave.state !== "waiting") {
    return waveWords[wave.state];
  }
  if (rollout.ended) {
    return { tone: "plain", icon: "stop", word: "not switched" };
  }
  const complete = devices.filter((one) => one.state === "verified").length;
  const receiving = devices.some((one) => one.state === "receiving");
  if (receiving) {
    return { tone: "busy", icon: "download", word: complete ? `receiving, ${complete} complete` : "receiving" };
  }
  return complete && complete === devices.filter((one) => !troubled(one)).length ? { ...deviceWords.verified, word: "image complete" } : waveWords.waiting;
}

/** Whether a key that devices here trust signed it. */
export function signature(image: FirmwareImage): Words {
  if (image.problem) {
    return { tone: "fail", icon: "fail", word: "cannot be sent" };
  }
  return image.signed
    ? { tone: "ok", icon: "shield", word: "signature verified" }
    : { tone: "doubt", icon: "doubt", word: "signer not known here yet" };
}

export const profiles = [
  ["802.15.4", "802.15.4", "gentle, for a radio mesh"],
  ["wi-fi", "Wi-Fi", "1 Mbit/s at most"],
  ["ethernet", "Ethernet", "4 Mbit/s at most"],
] as const;

export const profileName = (profile: string): string => profiles.find(([id]) => id === profile)?.[1] ?? profile;

/** What an image is called: "Lamp firmware 2.4.0". */
export function imageName(image: FirmwareImage): string {
  return [image.name || "Firmware", image.version].filter(Boolean).join(" ");
}
