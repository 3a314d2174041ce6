import { html, nothing } from "lit";
import { customElement } from "lit/decorators.js";
import { openGroupForm } from "../dialogs/group-form";
import type { Group } from "../engine.gen";
import { clock } from "../format";
import { icon } from "../icons";
import { bones, empty } from "../parts/empty";
import { lamps } from "../parts/job";
import { said } from "../parts/light";
import { go, href } from "../route";
import { tell } from "../shell/toasts";
import { state } from "../state";
import { View } from "../view";
import { status } from "../words";
import "./groups.css";

/** The groups of the site. */
@customElement("ll-groups")
export class Groups extends View {
  protected override render() {
    const groups = [...state.groups.values()].filter((group) => group.ended !== "deleted");
    return html`
      <div class="head">
        <div><h1>Groups</h1><p>One message reaches all lamps of a group.</p></div>
        ${state.site.rights.create ? html`<div class="acts"><button class="btn ${groups.length ? "" : "go"}" data-testid="group-new" @click=${this.#create}>${icon("plus")}New group</button></div>` : nothing}
      </div>
      ${!state.ready
        ? bones()
        : groups.length
          ? html`<div class="group-cards">${groups.map((group) => this.#card(group))}</div>`
          : empty("group", "No group yet", state.site.rights.create ? "Make one, then join lamps to it." : "The Group Manager has no group that this installer may use. Ask the person who invited you to allow one.")}`;
  }

  #create = async () => {
    const config = await openGroupForm();
    if (config) {
      tell(`${config.name} is there. Choose devices and join them.`);
      go("groups", config.name);
    }
  };

  #card(group: Group) {
    const members = group.members ?? [];
    const answers = new Map((group.rollCall?.answers ?? []).map((answer) => [answer.device, answer]));
    return html`<a class="card group-card" href=${href("groups", group.name)} data-testid="group-card" data-group=${group.name}>
      <header><h2>${group.title}</h2><span class="push muted">${icon("next")}</span></header>
      <p class="muted">${lamps(members.map((id) => state.devices.get(id)))}${group.joined ? ` · epoch ${group.epoch}` : ""}</p>
      <div class="strip" aria-hidden="true">
        ${members.map((id) => {
          const answer = answers.get(id);
          const failed = answer && ["silent", "mismatch", "error"].includes(answer.state);
          return html`<i class=${failed ? "fail" : answer?.state === "verified" && answer.on ? "on" : ""}></i>`;
        })}
      </div>
      <div class="row">
        ${group.rollCall
          ? html`${status(said(group.rollCall))}<span class="muted small">${clock(group.rollCall.started)}</span>`
          : status({ tone: "doubt", icon: "doubt", word: members.length ? "not asked yet" : "empty" })}
      </div>
    </a>`;
  }
}
