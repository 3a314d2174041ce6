import { html, nothing, type PropertyValues } from "lit";
import { customElement, property, state as reactive } from "lit/decorators.js";
import { repeat } from "lit/directives/repeat.js";
import { confirm } from "../dialogs/confirm";
import { openGroupForm } from "../dialogs/group-form";
import { openRekey } from "../dialogs/rekey";
import type { Group, GroupConfig, GroupMember } from "../engine.gen";
import { engine } from "../engine/start";
import { byName, count, listed, minute, span } from "../format";
import { icon } from "../icons";
import { go } from "../route";
import { attempt, tell } from "../shell/toasts";
import { View } from "../view";
import { status } from "../words";
import { note } from "./note";
import { rekeying } from "./rekeying";
import "./group-admin.css";

const modes: Record<string, string> = { both: "signed to all, and between two members", group: "signed to all", pairwise: "between two members only" };

/** The least time between two questions about all members, in milliseconds. */
const pause = 700;

/** What the Group Manager has of a group: its state, keys, members and settings. */
@customElement("ll-group-admin")
export class GroupAdmin extends View {
  @property({ attribute: false }) group!: Group;
  @reactive() private config: GroupConfig | undefined;
  @reactive() private members: GroupMember[] | undefined;
  @reactive() private problem = "";
  #seen = "";
  #loading = false;

  protected override willUpdate(_changed: PropertyValues): void {
    if (!this.#loading && this.#now() !== this.#seen) {
      void this.#load();
    }
  }

  /** What says that the Group Manager has something new to tell. */
  #now(): string {
    const { name, epoch, paused, members, rekeying: latest } = this.group;
    return [name, epoch, paused, members?.length, latest?.epoch, latest?.confirmed, latest?.told, latest?.ended].join("/");
  }

  protected override render() {
    return html`<section class="card" aria-labelledby="admin" data-testid="group-admin">
      <div class="sect">
        <h2 id="admin">At the Group Manager</h2>
        ${this.config ? this.#state(this.config) : nothing}
        <span class="push row">${this.#buttons()}</span>
      </div>
      <div class="body">
        ${this.problem ? note({ tone: "fail", icon: "fail", title: this.problem, action: { word: "Try again", testid: "admin-again", run: () => void this.#load() } }) : nothing}
        ${this.config ? this.#facts(this.config) : nothing} ${rekeying(this.group)}
      </div>
      ${this.members?.length ? html`${this.#barred(this.members)}${this.#members(this.members)}` : nothing}
    </section>`;
  }

  #may(what: string): boolean {
    return (this.group.manage ?? []).includes(what);
  }

  #state(config: GroupConfig) {
    return status(config.active ? { tone: "ok", icon: "ok", word: "active" } : { tone: "warn", icon: "pause", word: "paused" }, "group-state");
  }

  #buttons() {
    const config = this.config;
    if (!config || !this.#may("write")) {
      return nothing;
    }
    return html`
      <button class="btn" data-testid="new-keys" ?disabled=${!config.active} @click=${() => openRekey(this.group)}>${icon("key")}New keys</button>
      <button class="btn" data-testid="group-pause" @click=${() => this.#pause(config)}>${config.active ? html`${icon("pause")}Pause` : html`${icon("play")}Resume`}</button>
      <button class="btn" data-testid="group-change" @click=${() => this.#change(config)}>${icon("edit")}Change</button>
      ${this.#may("delete") ? html`<button class="btn harm" data-testid="group-delete" @click=${() => this.#delete(config)}>${icon("trash")}Delete</button>` : nothing}`;
  }

  #facts(config: GroupConfig) {
    const fresh = [config.rekeyOnJoin ? "when somebody joins" : "", config.rekeyPeriod ? "every " + hoursOf(config.rekeyPeriod) : "", "when somebody leaves"].filter(Boolean);
    return html`<dl class="facts">
      ${config.description ? html`<dt>Description</dt><dd>${config.description}</dd>` : nothing}
      <dt>Messages</dt><dd>${modes[config.mode] ?? config.mode}${config.signature ? ` (${config.signature})` : ""}</dd>
      <dt>Keys</dt><dd>until ${minute(config.keysUntil)}; new ones ${fresh.join(", ")}${config.oneToMany ? ", by multicast" : ""}</dd>
      <dt>Members ask</dt><dd>every ${span(config.checkInterval * 1000)} whether there are newer keys</dd>
    </dl>`;
  }

  /** Who gets no keys, and the one button that mends it. */
  #barred(members: GroupMember[]) {
    const barred = members.filter((one) => one.barred);
    const devices = barred.map((one) => one.device).filter(Boolean);
    if (barred.length === 0) {
      return nothing;
    }
    return html`<div class="body">
      ${note({
        tone: "warn",
        icon: "warn",
        title: `${listed(barred.map((one) => one.name))} ${barred.length === 1 ? "gets" : "get"} no new keys.`,
        text: "Somebody who was revoked had joined them. Renewing joins them again with your rights.",
        action: devices.length ? { word: devices.length === 1 ? "Renew it" : `Renew ${devices.length}`, testid: "renew", run: () => void attempt(engine.renew(this.group.name, devices)) } : undefined,
      })}
    </div>`;
  }

  #members(members: GroupMember[]) {
    const sorted = [...members].sort((a, b) => byName(a.name, b.name));
    return html`<div class="scroll"><table class="members" data-testid="gm-members">
      <caption class="sr">Members at the Group Manager</caption>
      <thead><tr><th>Member</th><th>Roles</th><th>Keys</th><th class="wide">Joined</th><th class="end">Sender ID</th><th class="end"><span class="sr">What to do</span></th></tr></thead>
      <tbody>${repeat(sorted, (one) => one.node, (one) => this.#member(one))}</tbody>
    </table></div>`;
  }

  #member(one: GroupMember) {
    const current = this.group.rekeying?.epoch ?? this.group.epoch;
    const words = one.barred
      ? ({ tone: "warn", icon: "warn", word: "to be renewed" } as const)
      : one.epoch < 0
        ? ({ tone: "doubt", icon: "doubt", word: "not known" } as const)
        : one.epoch < current
          ? ({ tone: "busy", icon: "wait", word: `epoch ${one.epoch}` } as const)
          : ({ tone: "ok", icon: "ok", word: "current" } as const);
    return html`<tr data-testid="gm-member" data-node=${one.node} data-device=${one.device} data-name=${one.name}>
      <td><strong>${one.name}</strong>${one.you ? html` <span class="muted">(this browser)</span>` : nothing}${one.obtainer ? html`<span class="next">joined by ${one.obtainer}</span>` : nothing}</td>
      <td>${(one.roles ?? []).join(", ")}</td>
      <td>${status(words, "member-keys")}</td>
      <td class="wide muted">${minute(one.joined)}</td>
      <td class="end id">${one.senderId || "–"}</td>
      <td class="end">${this.#may("write") && !one.you ? html`<button class="btn sm" data-testid="evict" aria-label="Evict ${one.name}" @click=${() => this.#evict(one)}>Evict</button>` : nothing}</td>
    </tr>`;
  }

  /** Asks once, and once more if there was news meanwhile. */
  async #load(): Promise<void> {
    const name = this.group.name;
    this.#loading = true;
    this.#seen = this.#now();
    try {
      const [config, members] = await Promise.all([engine.groupConfig(name), engine.groupMembers(name)]);
      if (name === this.group.name) {
        [this.config, this.members, this.problem] = [config, members, ""];
      }
    } catch (reason) {
      this.problem = (reason as Error).message;
    }
    await new Promise((done) => setTimeout(done, pause));
    this.#loading = false;
    this.requestUpdate();
  }

  async #evict(one: GroupMember): Promise<void> {
    if (await openRekey(this.group, [one])) {
      tell(`${one.name} is evicted from ${this.group.title}. The others get new keys.`);
      await this.#load();
    }
  }

  async #pause(config: GroupConfig): Promise<void> {
    if (config.active) {
      const sure = await confirm({
        title: `Pause ${this.group.title}?`,
        text: "Members stop sending and obeying in the group, and nobody can join, until you resume it. Nobody leaves.",
        yes: "Pause",
      });
      if (!sure) {
        return;
      }
    }
    const changed = await attempt(engine.changeGroup(config.name, { active: !config.active, etag: config.etag }));
    if (changed) {
      this.config = changed;
    }
  }

  async #change(config: GroupConfig): Promise<void> {
    this.config = (await openGroupForm(config)) ?? this.config;
  }

  async #delete(config: GroupConfig): Promise<void> {
    const members = this.members?.length ?? 0;
    const sure = await confirm({
      title: `Delete ${this.group.title}?`,
      text: `${members ? count(members, "member") + " will forget its keys and hear no command of it any more. " : ""}This cannot be undone.`,
      yes: "Delete",
    });
    if (sure && (await attempt(engine.deleteGroup(config.name).then(() => true)))) {
      tell(`${this.group.title} is deleted.`);
      go("groups");
    }
  }
}

function hoursOf(seconds: number): string {
  const hours = seconds / 3600;
  return hours === 1 ? "hour" : `${Math.round(hours * 10) / 10} hours`;
}
