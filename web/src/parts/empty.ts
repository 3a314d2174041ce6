import { html, nothing, type TemplateResult } from "lit";
import { icon, type Icon } from "../icons";

/** What stands where nothing is yet: what it will be, and what to do next. */
export function empty(image: Icon, title: string, text: string, actions?: TemplateResult): TemplateResult {
  return html`<section class="card empty" data-testid="empty">
    ${icon(image)}
    <h2>${title}</h2>
    <p>${text}</p>
    ${actions ? html`<div class="row">${actions}</div>` : nothing}
  </section>`;
}

/** Holds the place while the engine starts. */
export function bones(): TemplateResult {
  return html`<section class="card bones" aria-busy="true"><span class="sr">Starting</span><div class="bone"></div><div class="bone"></div><div class="bone"></div></section>`;
}
