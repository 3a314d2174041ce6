import { html } from "lit";
import { customElement, property } from "lit/decorators.js";
import { bones, empty } from "../parts/empty";
import { note } from "../parts/note";
import { View } from "../view";
import { known, models } from "./data";
import "./form";

/** Settings that may cut devices off, with what keeps them from it. */
@customElement("ll-settings-network")
export class SettingsNetwork extends View {
  @property({ attribute: false }) group = "";

  protected override render() {
    const now = known(this.group);
    const all = models(this.group).filter((schema) => (schema.defs ?? []).some((def) => def.network));
    if (!all.length) {
      return now.at && !now.reading ? empty("sliders", "No network settings here", "None of these devices has settings that concern the network.") : bones();
    }
    return html`<div class="screen" data-testid="network">
      ${note({ tone: "warn", icon: "shield", title: "A wrong value here cannot lock you out.", text: "All devices switch at one time and try the new settings. Your confirmation has to reach them over the new settings; a device that it does not reach within the time goes back by itself to what worked." })}
      ${all.map((schema) => html`<ll-settings-form network .group=${this.group} .schema=${schema}></ll-settings-form>`)}
    </div>`;
  }
}
