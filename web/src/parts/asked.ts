import type { GroupAsk } from "../engine.gen";
import { deviceName } from "./job";

/** "asked 100, 97 answered, waiting for 3: Hall 1, Hall 2, Stage 4", once somebody has been asked. */
export function askedInWords(asked: GroupAsk | undefined, before: string): string {
  const waiting = asked ? asked.asked - asked.answered - asked.silent : 0;
  if (!asked || !waiting) {
    return before;
  }
  const names = (asked.waiting ?? []).length === waiting && asked.answered ? `: ${asked.waiting.map(deviceName).join(", ")}` : "";
  return `asked ${asked.asked}, ${asked.answered} answered${asked.silent ? `, ${asked.silent} silent` : ""}, waiting for ${waiting}${names}`;
}
