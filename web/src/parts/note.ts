import { html, nothing, type TemplateResult } from "lit";
import { icon, type Icon } from "../icons";
import type { Tone } from "../words";

export interface Note {
  tone: Tone;
  icon: Icon;
  title: string;
  text?: string | TemplateResult | undefined;
  testid?: string;
  action?: { word: string; testid?: string; run(): void } | undefined;
}

/** A sentence with a cause, and one button. */
export function note({ tone, icon: image, title, text, testid, action }: Note): TemplateResult {
  return html`<div class="note ${tone}" data-testid=${testid ?? "note"}>
    ${icon(image)}
    <div><strong>${title}</strong>${text ? html`<p>${text}</p>` : nothing}</div>
    ${action ? html`<button class="btn" data-testid=${action.testid ?? "note-action"} @click=${action.run}>${action.word}</button>` : nothing}
  </div>`;
}
