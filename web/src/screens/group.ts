import { html, nothing } from "lit";
import { customElement, property, state as reactive } from "lit/decorators.js";
import { repeat } from "lit/directives/repeat.js";
import type { Answer, Group, RollCall } from "../engine.gen";
import { engine } from "../engine/start";
import { download, fileName, stamp } from "../files";
import { byName, clock, count, listed, minute, ms } from "../format";
import { icon } from "../icons";
import { answers, type Row } from "../parts/answers";
import { bones, empty } from "../parts/empty";
import "../parts/group-admin";
import { deviceName, hasBoard, jobProgress, jobs, lamps, live } from "../parts/job";
import "../parts/lamp";
import "../parts/light";
import { note } from "../parts/note";
import { stats } from "../parts/stats";
import { keep, recall } from "../prefs";
import { go, href } from "../route";
import { attempt } from "../shell/toasts";
import { state } from "../state";
import { View } from "../view";

/** One group: switch it, dim it, and see who answered. */
@customElement("ll-group")
export class GroupScreen extends View {
  @property({ attribute: false }) name = "";
  @reactive() private list = recall("members") === "list";
  @reactive() private calling = false;

  protected override render() {
    const group = state.groups.get(this.name);
    if (!state.ready) {
      return html`<div class="head"><div><h1>Group</h1><p>Starting the engine</p></div></div>${bones()}`;
    }
    if (!group) {
      return html`<div class="head"><h1>${this.name}</h1></div>
        ${empty("group", "There is no such group", "Perhaps it has another name now.", html`<a class="btn go" data-testid="group-all" href=${href("groups")}>All groups</a>`)}`;
    }
    const members = group.members ?? [];
    return html`${this.#head(group)} ${this.#trouble(group)} ${this.#update(group)} ${members.length ? this.#members(group) : this.#empty()}
      ${(group.manage ?? []).includes("read") ? html`<ll-group-admin .group=${group}></ll-group-admin>` : nothing}`;
  }

  #head(group: Group) {
    const members = group.members ?? [];
    const running = this.calling || group.rollCall?.ended === 0;
    const keys = group.joined ? `keys of ${minute(group.keysFrom)}, epoch ${group.epoch}` : "this browser is not a member yet";
    return html`<div class="head">
      <div>
        <h1>${group.title}</h1>
        <p data-testid="group-summary">${lamps(members.map((id) => state.devices.get(id)))} · ${keys}</p>
      </div>
      ${members.length
        ? html`<div class="acts">
            <a class="btn" data-testid="group-firmware" href=${href("firmware", group.name)}>${icon("upload")}Update firmware</a>
            <a class="btn" data-testid="group-settings" href=${href("settings", group.name)}>${icon("sliders")}Settings</a>
            <button class="btn" data-testid="roll-call-csv" ?disabled=${!group.rollCall} @click=${() => this.#csv(group)}>${icon("download")}Roll call as CSV</button>
            <button class="btn go" data-testid="roll-call" ?disabled=${running} aria-busy=${running} @click=${() => this.#call(group)}>${icon("call")}${running ? "Listening" : "Roll call"}</button>
          </div>`
        : nothing}
    </div>`;
  }

  /** Why commands are of no use here, and what to do. */
  #trouble(group: Group) {
    if (group.ended === "removed") {
      return note({
        tone: "fail",
        icon: "fail",
        title: "This browser was removed from the group.",
        text: "It cannot command the group any more. If you still have rights, enter it again.",
        action: { word: "Enter again", testid: "group-enter", run: () => void attempt(engine.enter(group.name)) },
      });
    }
    if (group.ended) {
      return note({ tone: "fail", icon: "fail", title: group.ended === "deleted" ? "This group was deleted." : "This group uses algorithms that this version does not have." });
    }
    return group.paused ? note({ tone: "warn", icon: "pause", title: "This group is paused.", text: "Its lamps obey nothing until an administrator resumes it." }) : nothing;
  }

  /** An update of its firmware or a change of its settings that goes on. */
  #update(group: Group) {
    const job = jobs().find((one) => hasBoard(one) && one.group === group.name && live(one));
    const change = job?.kind === "settings";
    return job ? note({ tone: "busy", icon: change ? "sliders" : "upload", title: `Its ${change ? "settings are being changed" : "firmware is being updated"}.`, text: `${jobProgress(job)} so far`, action: { word: "Open the board", testid: change ? "settings-running" : "firmware-running", run: () => go("jobs", job.id) } }) : nothing;
  }

  #empty() {
    if (![...state.devices.values()].some((device) => device.labelKnown)) {
      return empty("bulb", "This browser knows no labels yet", "Import the labels of the lamps. Those that are in this group show up here, also when somebody else has joined them.",
        html`<a class="btn go" data-testid="group-choose" href=${href("devices")}>Import labels</a>`);
    }
    return empty("bulb", "No lamp is in this group yet", "Choose devices and join them. One message then switches all of them, and each answers under its own key.",
      html`<a class="btn go" data-testid="group-choose" href=${href("devices")}>Choose devices</a>`);
  }

  #members(group: Group) {
    const rows = this.#rows(group);
    return html`
      <ll-light .group=${group}></ll-light>
      ${this.#stats(group)} ${group.rollCall?.ended ? this.#notes(group, group.rollCall) : nothing}
      <section class="card" aria-labelledby="members">
        <div class="sect">
          <h2 id="members">Members</h2>
          <div class="seg push" role="group" aria-label="View">
            <button aria-pressed=${!this.list} data-testid="view-lamps" @click=${() => this.#view(false)}>${icon("bulb")}Lamps</button>
            <button aria-pressed=${this.list} data-testid="view-list" @click=${() => this.#view(true)}>${icon("list")}List</button>
          </div>
        </div>
        ${this.list
          ? answers(rows)
          : html`<div class="lamps">
              ${repeat(rows, (row) => row.device, (row) => html`<ll-lamp .device=${state.devices.get(row.device)} .answer=${row.answer} .senderId=${row.senderId}></ll-lamp>`)}
            </div>`}
      </section>`;
  }

  #view(list: boolean): void {
    this.list = list;
    keep("members", list ? "list" : "lamps");
  }

  /** All members, and who else answered. */
  #rows(group: Group): Row[] {
    const said = new Map((group.rollCall?.answers ?? []).map((answer) => [answer.device, answer]));
    const senderId = (id: string) => state.devices.get(id)?.groups.find((one) => one.group === group.name)?.senderId ?? "";
    return [...new Set([...(group.members ?? []), ...said.keys()])]
      .sort((a, b) => byName(deviceName(a), deviceName(b)))
      .map((device) => ({ device, answer: said.get(device), senderId: senderId(device) }));
  }

  #stats(group: Group) {
    const call = group.rollCall;
    const total = call ? (call.answers ?? []).length : (group.members ?? []).length;
    const timed = call && call.verified > 0;
    return stats([
      { value: call ? `${call.verified} of ${total}` : `${total}`, label: call ? "answered and verified" : "members, not asked yet", testid: "stat-answered" },
      { value: timed ? ms(call.median) : "–", label: timed ? `median, ${ms(call.slowest)} slowest` : "median", testid: "stat-median" },
      { value: call ? `${call.multicasts} + ${call.unicasts}` : "–", label: "multicast, unicast follow-ups", testid: "stat-messages" },
      { value: call?.ended ? clock(call.ended) : call ? "…" : "never", label: "last proof", testid: "stat-proof" },
    ]);
  }

  /** A sentence for each kind of failure, with one button. */
  #notes(group: Group, call: RollCall) {
    const of = (...states: Answer["state"][]) => (call.answers ?? []).filter((answer) => states.includes(answer.state));
    const silent = of("silent");
    const wrong = of("mismatch");
    const failed = of("error");
    const names = (some: Answer[]) => listed(some.map((answer) => deviceName(answer.device)));
    const again = { word: "Ask again", testid: "ask-again", run: () => void this.#call(group) };
    const device = silent.length === 1 ? state.devices.get(silent[0]!.device) : undefined;
    const since = device?.lastSeen ? ` since ${minute(device.lastSeen)}` : "";
    const reason = (some: Answer[], otherwise: string) => [some[0]?.problem?.text, some[0]?.problem?.next].filter(Boolean).join(" ") || otherwise;
    return html`
      ${wrong.length ? note({ tone: "fail", icon: "doubt", title: `${names(wrong)} answered under another identity than the label’s.`, text: reason(wrong, "Someone may have swapped the device. Look at it before you trust it."), action: again }) : nothing}
      ${failed.length ? note({ tone: "fail", icon: "fail", title: `${names(failed)} answered with an error.`, text: reason(failed, "Ask again; if it stays, look at the log."), action: again }) : nothing}
      ${silent.length
        ? note({
            tone: "fail",
            icon: "fail",
            title: silent.length === 1 ? `${names(silent)} has not answered${since}.` : `${count(silent.length, "device")} did not answer: ${names(silent)}.`,
            text: "Asked by multicast and again by unicast. " + (silent[0]?.problem?.next || "Check the power, then ask again."),
            action: again,
          })
        : nothing}`;
  }

  async #call(group: Group): Promise<void> {
    this.calling = true;
    await attempt(engine.rollCall(group.name));
    this.calling = false;
  }

  async #csv(group: Group): Promise<void> {
    const text = await attempt(engine.rollCallCSV(group.name));
    if (text !== undefined) {
      download(fileName(group.name, "roll-call", stamp()) + ".csv", "text/csv", text);
    }
  }
}
