// Values of settings as a person reads them, and patches of them.

import type { SettingDef, SettingsChange, SettingsDevice, SettingsSchema } from "../engine.gen";
import { count } from "../format";

export type Values = Record<string, unknown>;

const nbsp = "\u00a0";

export const isMap = (value: unknown): value is Values => typeof value === "object" && value !== null && !Array.isArray(value);

/** What a template leaves open: "${level}", "Lamp ${index + 1}". */
export const isExpression = (value: unknown): boolean => typeof value === "string" && value.includes("${");

export function same(a: unknown, b: unknown): boolean {
  if (isMap(a) && isMap(b)) {
    const keys = new Set([...Object.keys(a), ...Object.keys(b)]);
    return [...keys].every((key) => same(a[key], b[key]));
  }
  return (a ?? null) === (b ?? null);
}

/** A patch merged into what runs, as devices do it: null takes away. */
export function merge(value: unknown, patch: unknown): unknown {
  if (!isMap(patch)) {
    return patch;
  }
  const out: Values = { ...(isMap(value) ? value : {}) };
  for (const [key, part] of Object.entries(patch)) {
    if (part === null) {
      delete out[key];
    } else {
      out[key] = merge(out[key], part);
    }
  }
  return out;
}

/** One patch over another, as the engine does it: members of maps are put together, and what takes away stays. */
export function overlay(under: Values, over: Values): Values {
  const out: Values = { ...under };
  for (const [key, part] of Object.entries(over)) {
    const below = out[key];
    out[key] = isMap(part) && isMap(below) ? overlay(below, part) : part;
  }
  return out;
}

/** The patch that makes one value of another; undefined: they are the same. */
export function difference(from: unknown, to: unknown): unknown {
  if (same(from, to)) {
    return undefined;
  }
  if (!isMap(from) || !isMap(to)) {
    return to ?? null;
  }
  const out: Values = {};
  for (const key of new Set([...Object.keys(from), ...Object.keys(to)])) {
    const part = difference(from[key], to[key]);
    if (part !== undefined) {
      out[key] = part;
    }
  }
  return out;
}

/** "80 %", "As before", "on", "none". */
export function say(def: SettingDef | undefined, value: unknown): string {
  if (value === null || value === undefined) {
    return "none";
  }
  if (!def || isExpression(value)) {
    return isMap(value) ? JSON.stringify(value) : String(value);
  }
  if (isMap(value)) {
    return def.ids ? sayEntries(def, value) : sayEntry(def, value);
  }
  const choice = (def.choices ?? []).find((one) => one.value === value);
  if (choice) {
    return choice.title;
  }
  if (typeof value === "boolean") {
    return value ? "on" : "off";
  }
  if (typeof value === "string") {
    return value === "" ? "empty" : def.type === "text" ? `“${value}”` : value;
  }
  return String(value) + (def.unit ? nbsp + def.unit : "");
}

/** "0, 3 and 4 are set" */
function sayEntries(def: SettingDef, value: Values): string {
  const ids = Object.keys(value);
  return ids.length ? `${ids.length > 4 ? count(ids.length, "is", "are") : ids.join(", ")} set` : `no ${def.title.toLowerCase()}`;
}

/** "Level 40 %, Fade time 700 ms" */
export function sayEntry(def: SettingDef, value: unknown): string {
  if (!isMap(value)) {
    return "none";
  }
  const parts = (def.members ?? []).filter((member) => value[member.key] !== undefined).map((member) => `${member.title} ${say(member, value[member.key])}`);
  return parts.join(", ") || "nothing set";
}

export interface Line {
  key: number;
  title: string;
  old: string;
  new: string;
  /** what was confirmed, where a device has drifted from it */
  known: string;
}

/** A difference line by line: of a map by ids, a line for each id. */
export function lines(schema: SettingsSchema | undefined, change: { key: number; name: string; old: unknown; new: unknown; known: unknown }): Line[] {
  const def = (schema?.defs ?? []).find((one) => one.key === change.key);
  const title = def?.title || change.name || `Setting ${change.key}`;
  if (!def?.ids) {
    const known = same(change.known, change.old) ? "" : say(def, change.known);
    return [{ key: change.key, title, old: say(def, change.old), new: say(def, change.new), known }];
  }
  const [before, after, known] = [change.old, change.new, change.known].map((value) => (isMap(value) ? value : {})) as [Values, Values, Values];
  const ids = [...new Set([before, after, known].flatMap((value) => Object.keys(value)))].sort((a, b) => Number(a) - Number(b));
  return ids
    .filter((id) => !same(before[id], after[id]) || !same(before[id], known[id]))
    .map((id) => ({
      key: change.key,
      title: `${title} ${id}`,
      old: sayEntry(def, before[id]),
      new: sayEntry(def, after[id]),
      known: same(before[id], known[id]) ? "" : sayEntry(def, known[id]),
    }));
}

/** What devices have of a setting: a value that all have, or none. */
export interface Common {
  value: unknown;
  mixed: boolean;
  text: string;
}

/** "100 %" or "100 % at 94, 80 % at 6". */
export function common(def: SettingDef, devices: SettingsDevice[]): Common {
  const asked = devices.filter((one) => one.at > 0);
  const kinds = new Map<string, { value: unknown; n: number }>();
  for (const device of asked) {
    const value = device.values?.[def.key];
    const id = JSON.stringify(value ?? null);
    const kind = kinds.get(id) ?? { value, n: 0 };
    kind.n++;
    kinds.set(id, kind);
  }
  const sorted = [...kinds.values()].sort((a, b) => b.n - a.n);
  if (sorted.length === 0) {
    return { value: undefined, mixed: false, text: "not known yet" };
  }
  if (sorted.length === 1) {
    return { value: sorted[0]!.value, mixed: false, text: say(def, sorted[0]!.value) };
  }
  const shown = sorted.slice(0, 3).map((kind) => `${say(def, kind.value)} at ${kind.n}`);
  return { value: sorted[0]!.value, mixed: true, text: shown.join(", ") + (sorted.length > 3 ? ` and ${sorted.length - 3} more` : "") };
}

/** A change that changes nothing yet. */
export function blank(group: string, model: string): SettingsChange {
  return { group, model, template: "", values: {}, variables: {}, perDevice: {}, devices: [], in: 0, at: 0, confirmWithin: 0, mend: false, quorum: 0 };
}

/** How many settings it is about. */
export function weight(change: SettingsChange, template: Values = {}): number {
  const shared = new Set([...Object.keys(change.values ?? {}), ...Object.keys(template)]).size;
  return shared + Object.values(change.perDevice ?? {}).reduce((n, values) => n + Object.keys(values).length, 0);
}

export const definition = (schema: SettingsSchema | undefined, name: string): SettingDef | undefined => (schema?.defs ?? []).find((def) => def.name === name);
