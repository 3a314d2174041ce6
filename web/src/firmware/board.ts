import { html } from "lit";
import { customElement, property } from "lit/decorators.js";
import { View } from "../view";

/** A rollout while it goes on, and what came of it. */
@customElement("ll-rollout")
export class Board extends View {
  @property({ attribute: false }) job = "";

  protected override render() {
    return html`<div class="head"><h1>Firmware</h1></div>`;
  }
}
