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
    const [what = "", ...next] = (state.link.reason || "The bridge does not answer.").split(/(?<=\.) /);
    this.hidden = !down;
    return html`<div role="status">
      ${down
        ? html`<div class="note warn" data-testid="banner">
            ${icon("offline")}
            <div>
              <strong>${what}</strong>
              <p>${next.join(" ")} ${state.link.revoked ? "Labels, log and backup still work." : "Jobs wait until it is back; labels, log and backup work meanwhile."}</p>
            </div>
          </div>`
        : nothing}
    </div>`;
  }
}
