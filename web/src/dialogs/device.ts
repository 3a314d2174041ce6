import { html, nothing } from "lit";
import { customElement } from "lit/decorators.js";
import { forget, join, joinable, leave, release } from "../actions";
import type { Device } from "../engine.gen";
import { clock, deviceID } from "../format";
import { icon } from "../icons";
import { blinkButton } from "../parts/blink-button";
import { groupTitle } from "../parts/job";
import { note } from "../parts/note";
import { href } from "../route";
import { state } from "../state";
import { deviceState, status } from "../words";
import { Dialog, show } from "./dialog";

/** Everything about one device, and what can be done with it. */
@customElement("ll-device")
export class DeviceSheet extends Dialog {
  protected readonly kind = "device";
  device = "";

  protected override content() {
    const device = state.devices.get(this.device);
    if (!device) {
      return html`<div class="body">${this.header("This device is gone")}<p>Its label was forgotten.</p></div>`;
    }
    return html`<div class="body" data-device=${device.id}>
      ${this.header(device.name || device.model || "A device without a label")}
      <div class="row">${status(deviceState(device))}<span class="muted small">${device.state === "failed" ? nothing : device.step}</span></div>
      ${device.problem ? note({ tone: "fail", icon: "fail", title: device.problem.text, text: device.problem.next }) : nothing}
      ${device.groups.filter((one) => one.why).map((one) => note({ tone: "warn", icon: "warn", title: `${groupTitle(one.group)}: ${one.why}`, text: one.ended ? "Join it again if it belongs there." : "" }))}
      ${device.groups.filter((one) => one.mute && !one.ended).map((one) => note({ tone: "warn", icon: "warn", title: `${groupTitle(one.group)}: it may answer here, but not send.`, text: "The rights let devices of this model answer only. Ask an admin to allow them to send, then take it out and join it again." }))}
      ${this.#facts(device)} ${this.#actions(device)}
    </div>`;
  }

  #facts(device: Device) {
    const fact = (name: string, value: unknown, mono = false) => (value ? html`<dt>${name}</dt><dd class=${mono ? "id" : ""}>${value}</dd>` : nothing);
    return html`<dl class="facts">
      ${fact("Place", device.place)} ${fact("Model", device.model)} ${fact("Identity", deviceID(device.id), true)} ${fact("Address", device.address, true)}
      ${fact("Last seen", device.lastSeen ? clock(device.lastSeen) : "never")}
      ${fact("Owner", device.claimed ? "this site" : "not claimed by this site")}
      ${fact("Who may manage it", device.listPending ? "an older list; it is told when it answers" : "")}
      ${device.groups.map((one) => html`<dt>Group</dt><dd><a href=${href("groups", one.group)} data-testid="sheet-group" @click=${() => this.close()}>${groupTitle(one.group)}</a> <span class="id">Sender ID ${one.senderId}</span></dd>`)}
    </dl>`;
  }

  #actions(device: Device) {
    const then = async (done: Promise<boolean>, close = false) => {
      if ((await done) && close) {
        this.close();
      }
    };
    return html`<div class="row">
      ${device.labelKnown ? blinkButton(device, "sheet-blink") : nothing}
      ${[...state.groups.values()]
        .filter((group) => joinable(device, group.name))
        .map((group) => html`<button class="btn" data-testid="sheet-join" data-group=${group.name} @click=${() => void join(group.name, [device])}>${icon("group")}Join ${group.title}</button>`)}
      ${device.groups.map((one) => html`<button class="btn" data-testid="sheet-leave" data-group=${one.group} @click=${() => void then(leave(one.group, [device]))}>Remove from ${groupTitle(one.group)}</button>`)}
      ${device.claimed ? html`<button class="btn harm" data-testid="sheet-release" @click=${() => void then(release([device]))}>Release</button>` : nothing}
      ${!device.claimed && device.labelKnown ? html`<button class="btn harm" data-testid="sheet-forget" @click=${() => void then(forget([device]), true)}>Forget the label</button>` : nothing}
    </div>`;
  }
}

export function openDevice(id: string): void {
  const sheet = new DeviceSheet();
  sheet.device = id;
  void show(sheet);
}
