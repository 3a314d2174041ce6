import { html, nothing } from "lit";
import { customElement } from "lit/decorators.js";
import { icon } from "../icons";
import { state } from "../state";
import { View } from "../view";

/** Says why the bridge cannot be reached, and what to do. */
@customElement("ll-banner")
export class Banner extends View {
  protected override render() {
    const down = state.ready && state.hasSite && !state.link.up;
    this.hidden = !down;
    return html`<div role="status">
      ${down
        ? html`<div class="note warn" data-testid="banner">
            ${icon("offline")}
            <div>
              <strong>${state.link.reason || "The bridge does not answer."}</strong>
              <p>Jobs wait and go on by themselves when it is back. Labels, the log and the backup work meanwhile.</p>
            </div>
          </div>`
        : nothing}
    </div>`;
  }
}
