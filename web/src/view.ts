import { LitElement } from "lit";
import { state } from "./state";

/**
 * A view draws from the state and draws again when it changed. Views render
 * into the document itself, not into shadow trees: labels, headings and ids
 * refer across components, and one style sheet a component is adopted once.
 */
export class View extends LitElement {
  #unwatch?: () => void;

  protected override createRenderRoot(): HTMLElement {
    return this;
  }

  override connectedCallback(): void {
    super.connectedCallback();
    this.#unwatch = state.watch(() => this.requestUpdate());
  }

  override disconnectedCallback(): void {
    super.disconnectedCallback();
    this.#unwatch?.();
  }
}
