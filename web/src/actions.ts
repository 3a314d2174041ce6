// What a person asks for on several screens. Each says what went wrong, and
// asks first where it cannot simply be taken back.

import type { Device } from "./engine.gen";
import { engine } from "./engine/start";
import { confirm } from "./dialogs/confirm";
import { openBackup } from "./dialogs/backup";
import { count, listed } from "./format";
import { groupTitle } from "./parts/job";
import { prefs } from "./prefs";
import { attempt, complain, tell } from "./shell/toasts";
import { state } from "./state";

export const blinkSeconds = 5;

/** Devices of this site, or labels that can become some. */
export const joinable = (device: Device, group: string): boolean =>
  device.labelKnown && device.state !== "working" && !device.groups.some((membership) => membership.group === group);

const names = (devices: Device[]) => listed(devices.map((device) => device.name || device.id));
const ids = (devices: Device[]) => devices.map((device) => device.id);

/** The multicast; resolves when the answers are in. */
export async function discover(): Promise<void> {
  const answered = await attempt(engine.discover());
  if (answered === 0) {
    complain(new Error("No device answered the discovery. Check that they have power and are on the bridge’s network."));
  } else if (answered !== undefined) {
    tell(count(answered, "device") + " answered.");
  }
}

/** Asks to save the backup before the first claim; false: the person turned back. */
async function backedUpOrLater(): Promise<boolean> {
  const claimed = [...state.devices.values()].some((device) => device.claimed);
  if (state.site.backedUp || claimed || prefs.backupLater) {
    return true;
  }
  return (await openBackup(true)) !== undefined;
}

export async function join(group: string, devices: Device[]): Promise<void> {
  if (devices.length === 0 || !(await backedUpOrLater())) {
    return;
  }
  void navigator.storage?.persist?.(); // the site's key lives in this browser
  await attempt(engine.join(group, ids(devices)));
}

export async function leave(group: string, devices: Device[]): Promise<boolean> {
  const sure = await confirm({
    title: `Remove ${devices.length === 1 ? names(devices) : count(devices.length, "device")} from ${groupTitle(group)}?`,
    text: `${names(devices)} will not obey the group any more, and the others get new keys. You can join ${devices.length === 1 ? "it" : "them"} again.`,
    yes: "Remove",
  });
  if (!sure || !(await attempt(engine.leave(group, ids(devices))))) {
    return false;
  }
  tell(`${names(devices)}: leaving ${groupTitle(group)}.`, { word: "Join again", run: () => void join(group, devices) });
  return true;
}

export async function release(devices: Device[]): Promise<boolean> {
  const sure = await confirm({
    title: `Release ${devices.length === 1 ? names(devices) : count(devices.length, "device")}?`,
    text: `${names(devices)} will leave all groups and forget this site. Whoever holds the label can claim ${devices.length === 1 ? "it" : "them"} then.`,
    yes: "Release",
  });
  return sure && (await attempt(engine.release(ids(devices)))) !== undefined;
}

export async function forget(devices: Device[]): Promise<boolean> {
  const sure = await confirm({
    title: `Forget ${devices.length === 1 ? "the label of " + names(devices) : count(devices.length, "label")}?`,
    text: "The devices themselves do not change. To bring them in later, their labels have to be imported again.",
    yes: "Forget",
  });
  if (!sure) {
    return false;
  }
  await attempt(engine.forget(ids(devices)));
  return true;
}

/** Devices that blink right now. */
export const blinking = new Set<string>();

export async function blink(id: string): Promise<void> {
  blinking.add(id);
  state.changed();
  const done = () => {
    blinking.delete(id);
    state.changed();
  };
  try {
    await engine.blink(id, blinkSeconds);
    setTimeout(done, blinkSeconds * 1000);
  } catch (reason) {
    done();
    complain(reason);
  }
}
