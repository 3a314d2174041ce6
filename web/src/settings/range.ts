// Why a value cannot be: in words, at its field.

import type { SettingDef } from "../engine.gen";
import { isExpression } from "./values";

const bytesOf = (text: string): number => new TextEncoder().encode(text).length;

/** What is wrong with a value; empty: nothing. */
export function refusal(def: SettingDef, value: unknown): string {
  if (value === null || isExpression(value)) {
    return "";
  }
  switch (def.type) {
    case "int":
      return number(def, value);
    case "choice":
      return (def.choices ?? []).some((one) => one.value === value) ? "" : "Choose one of the list.";
    case "text":
      return length(def, bytesOf(String(value ?? "")), "character");
    case "bytes":
      return /^([0-9a-f]{2})*$/i.test(String(value ?? "")) ? length(def, String(value ?? "").length / 2, "byte") : "Two hexadecimal digits a byte, such as 1f.";
    default:
      return "";
  }
}

function length(def: SettingDef, n: number, what: string): string {
  if (def.min !== null && n < def.min) {
    return n === 0 ? "It must not be empty." : `At least ${def.min} ${what}s.`;
  }
  return def.max !== null && n > def.max ? `At most ${def.max} ${what}s; these are ${n}.` : "";
}

function number(def: SettingDef, value: unknown): string {
  const unit = def.unit ? "\u00a0" + def.unit : "";
  if (typeof value !== "number" || Number.isNaN(value)) {
    return "A number is missing.";
  }
  if (!Number.isInteger(value)) {
    return "Only whole numbers.";
  }
  if (def.min !== null && value < def.min) {
    return `${value}${unit} is too little: at least ${def.min}${unit}.`;
  }
  if (def.max !== null && value > def.max) {
    return `${value}${unit} is too much: at most ${def.max}${unit}.`;
  }
  const step = def.step ?? 1;
  const from = def.min ?? 0;
  if (step > 1 && (value - from) % step !== 0) {
    const below = from + Math.floor((value - from) / step) * step;
    return `In steps of ${step}${unit}: ${below} or ${below + step}${unit}.`;
  }
  return "";
}

/** "1 to 100 %, in steps of 10" */
export function rangeOf(def: SettingDef): string {
  if (def.type !== "int" || (def.min === null && def.max === null)) {
    return "";
  }
  const unit = def.unit ? "\u00a0" + def.unit : "";
  const range = def.min !== null && def.max !== null ? `${def.min} to ${def.max}${unit}` : def.min !== null ? `${def.min}${unit} or more` : `${def.max}${unit} or less`;
  return range + (def.step && def.step > 1 ? `, in steps of ${def.step}` : "");
}
