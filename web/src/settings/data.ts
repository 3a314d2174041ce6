// What was read of a group's settings, kept while the page lives; and the change
// that is being written, which a reload does not lose.

import { EngineError } from "../engine/client";
import type { SettingsChange, SettingsDevice, SettingsSchema, SettingsTemplate } from "../engine.gen";
import { engine } from "../engine/start";
import { attempt } from "../shell/toasts";
import { byName } from "../format";
import type { Icon } from "../icons";
import { bones, empty } from "../parts/empty";
import { deviceName } from "../parts/job";
import { state } from "../state";
import { blank } from "./values";

export interface Trouble {
  text: string;
  next: string;
}

export function trouble(reason: unknown): Trouble {
  return { text: reason instanceof Error ? reason.message : String(reason), next: reason instanceof EngineError ? reason.next : "" };
}

export interface Known {
  schemas: SettingsSchema[];
  devices: SettingsDevice[];
  at: number;
  reading: boolean;
  trouble: Trouble | undefined;
}

const groups = new Map<string, Known>();
/** Schemas of groups whose devices were not read yet. */
const named = new Map<string, SettingsSchema[]>();
let kept: SettingsTemplate[] | undefined;

/** What is known of a group; asks its devices the first time, and after a change has ended. */
export function known(group: string): Known {
  const found = groups.get(group);
  if (!found) {
    const fresh: Known = { schemas: [], devices: [], at: 0, reading: false, trouble: undefined };
    groups.set(group, fresh);
    queueMicrotask(() => void read(group));
    return fresh;
  }
  const ended = Math.max(0, ...[...state.runs.values()].filter((run) => run.change.group === group).map((run) => run.ended));
  if (ended > found.at && found.at && !found.reading) {
    queueMicrotask(() => void read(group));
  }
  return found;
}

/** Asks the devices of a group what they run. */
export async function read(group: string): Promise<void> {
  const now = groups.get(group) ?? known(group);
  if (now.reading) {
    return;
  }
  groups.set(group, { ...now, reading: true });
  state.changed();
  try {
    const devices = (await engine.readSettings(group)) ?? [];
    const schemas = (await engine.settingsSchemas(group)) ?? [];
    groups.set(group, { schemas, devices, at: Date.now(), reading: false, trouble: undefined });
  } catch (reason) {
    groups.set(group, { ...now, at: Date.now(), reading: false, trouble: trouble(reason) });
  }
  state.changed();
}

const asked = new Set<string>();

/** Asks for the schemas alone, of devices that were not read yet. */
export function schemas(group: string): void {
  if (groups.has(group) || asked.has(group)) {
    return;
  }
  asked.add(group);
  engine.settingsSchemas(group).then((all) => {
    named.set(group, all ?? []);
    state.changed();
  }, () => {}); // keys have to do
}

/** The schema of a model. */
export const schemaOf = (group: string, model: string): SettingsSchema | undefined => (groups.get(group)?.schemas.length ? groups.get(group)!.schemas : (named.get(group) ?? [])).find((one) => one.model === model);

export const devicesOf = (group: string, model: string): SettingsDevice[] => known(group).devices.filter((one) => one.model === model).sort((a, b) => byName(deviceName(a.device), deviceName(b.device)));

/** What drifted devices run is what they shall run from now on. */
export async function keep(group: string, devices: string[]): Promise<void> {
  await attempt(engine.keepSettings(group, devices));
  await read(group);
}

/** Models of a group with settings, the most frequent first. */
export function models(group: string): SettingsSchema[] {
  const n = (model: string) => devicesOf(group, model).length;
  return known(group).schemas.filter((one) => n(one.model) > 0).sort((a, b) => n(b.model) - n(a.model));
}

/** What stands where no device of the group has something; until they have answered, nothing does. */
export const none = (group: string, image: Icon, title: string, text: string) => (known(group).at && !known(group).reading ? empty(image, title, text) : bones());

export function templates(): SettingsTemplate[] {
  if (!kept) {
    kept = [];
    void readTemplates();
  }
  return kept;
}

export async function readTemplates(): Promise<void> {
  try {
    kept = (await engine.settingsTemplates()) ?? [];
    state.changed();
  } catch {
    // the form does without
  }
}

// The change that is being written, one a group; those begun for other models wait.

const drafts = new Map<string, SettingsChange | undefined>();
const waiting = new Map<string, SettingsChange>();
const name = (group: string): string => "settings/" + group;

export function draft(group: string): SettingsChange | undefined {
  if (!drafts.has(group)) {
    drafts.set(group, restored(group));
  }
  return drafts.get(group);
}

function restored(group: string): SettingsChange | undefined {
  try {
    const text = sessionStorage.getItem(name(group));
    return text ? { ...blank(group, ""), ...(JSON.parse(text) as SettingsChange) } : undefined;
  } catch {
    return undefined;
  }
}

/** Of a model; another model's is not it. */
export function draftOf(group: string, model: string): SettingsChange {
  const found = draft(group);
  return found?.model === model ? found : (waiting.get(`${group}/${model}`) ?? blank(group, model));
}

export function write(change: SettingsChange): void {
  const whole = { ...blank(change.group, change.model), ...change };
  const before = draft(change.group);
  if (before && before.model !== change.model) {
    waiting.set(`${change.group}/${before.model}`, before);
  }
  drafts.set(change.group, whole);
  try {
    sessionStorage.setItem(name(change.group), JSON.stringify(whole));
  } catch {
    // it is lost with the page
  }
  state.changed();
}

export function discard(group: string, model: string): void {
  waiting.delete(`${group}/${model}`);
  if (draft(group)?.model === model) {
    drafts.set(group, undefined);
    try {
      sessionStorage.removeItem(name(group));
    } catch {
      // nothing was kept
    }
  }
  state.changed();
}
