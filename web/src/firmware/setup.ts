import { html } from "lit";
import { customElement, property } from "lit/decorators.js";
import { View } from "../view";

/** Before the update: what the file is, whom it fits, what it would take. */
@customElement("ll-firmware")
export class FirmwareSetup extends View {
  @property({ attribute: false }) group = "";

  protected override render() {
    return html`<div class="head"><h1>Update firmware</h1></div>`;
  }
}
