import { html, nothing } from "lit";
import { customElement, state as reactive } from "lit/decorators.js";
import { repeat } from "lit/directives/repeat.js";
import { confirm } from "../dialogs/confirm";
import { openInvite } from "../dialogs/invite";
import type { Person } from "../engine.gen";
import { engine } from "../engine/start";
import { count, listed, minute } from "../format";
import { icon } from "../icons";
import { bones, empty } from "../parts/empty";
import { deviceName } from "../parts/job";
import { note } from "../parts/note";
import { attempt, tell } from "../shell/toasts";
import { state } from "../state";
import { View } from "../view";
import { personState, roleWords, status } from "../words";

/** Who has access to the site. */
@customElement("ll-people")
export class People extends View {
  @reactive() private people: Person[] | undefined;
  @reactive() private problem = "";
  #asked = false;

  protected override render() {
    if (state.ready && state.site.rights.people && !this.#asked) {
      this.#asked = true;
      void this.#load();
    }
    return html`
      <div class="head">
        <div><h1>People</h1><p data-testid="people-summary">${this.#summary()}</p></div>
        ${state.site.rights.people
          ? html`<div class="acts"><button class="btn go" data-testid="invite-open" @click=${this.#invite}>${icon("plus")}Invite</button></div>`
          : nothing}
      </div>
      ${this.#body()}`;
  }

  #summary(): string {
    const people = this.people;
    if (!people) {
      return "Who may work in this site.";
    }
    const pending = people.filter((one) => one.pending).length;
    const inside = people.filter((one) => personState(one).word === "has access").length;
    return `${count(inside, "person has", "people have")} access${pending ? `, ${count(pending, "invitation is", "invitations are")} open` : ""}`;
  }

  #body() {
    if (state.ready && !state.site.rights.people) {
      return empty("lock", "Only administrators see this", "Ask an administrator of the site to invite or to revoke somebody.");
    }
    if (this.problem) {
      return empty("fail", "The list could not be read", this.problem, html`<button class="btn" data-testid="people-again" @click=${() => this.#load()}>Try again</button>`);
    }
    if (!this.people) {
      return bones();
    }
    return html`${this.#unlisted(this.people)}<section class="card"><div class="scroll"><table data-testid="people">
      <caption class="sr">People</caption>
      <thead><tr><th>Name</th><th>Access</th><th>Role</th><th class="wide">Since</th><th class="end"><span class="sr">What to do</span></th></tr></thead>
      <tbody>${repeat(this.people, (one) => one.id, (one) => this.#row(one))}</tbody>
    </table></div></section>`;
  }

  /** Who cannot manage the devices yet, as these were not told. */
  #unlisted(people: Person[]) {
    const names = people.filter((one) => !one.listed).map((one) => one.name);
    const claimed = [...state.devices.values()].some((device) => device.claimed);
    if (names.length === 0 || !claimed) {
      return nothing;
    }
    return note({
      tone: "busy",
      icon: "info",
      title: `The devices do not know ${listed(names)} yet.`,
      text: "They obey only whom you name to them. Then they can be managed from that browser too.",
      action: { word: "Tell the devices", testid: "commissioners-update", run: () => void this.#tellDevices() },
    });
  }

  async #tellDevices(): Promise<void> {
    await attempt(engine.updateCommissioners());
    await this.#load();
  }

  #row(one: Person) {
    const words = personState(one);
    const left = one.left ?? [];
    return html`<tr data-testid="person" data-person=${one.id} data-name=${one.name} data-state=${words.word}>
      <td><strong>${one.name}</strong>${one.you ? html` <span class="muted">(you)</span>` : nothing}</td>
      <td>
        ${status(words)}
        ${!one.revoked && one.expires ? html`<span class="next">until ${minute(one.expires)}</span>` : nothing}
        ${left.length ? html`<span class="next">still to be taken off ${listed(left.map(deviceName), 3)}</span>` : nothing}
      </td>
      <td>${roleWords[one.role]?.word ?? one.role}</td>
      <td class="wide muted">${minute(one.since)}</td>
      <td class="end">
        ${one.revoked || one.you
          ? nothing
          : html`<button class="btn harm" data-testid="person-revoke" aria-label="${one.pending ? "Withdraw the invitation of" : "Revoke"} ${one.name}" @click=${() => this.#revoke(one)}>
              ${one.pending ? "Withdraw" : "Revoke"}
            </button>`}
      </td>
    </tr>`;
  }

  async #load(): Promise<void> {
    this.problem = "";
    try {
      this.people = await engine.people();
    } catch (reason) {
      this.problem = (reason as Error).message;
    }
  }

  #invite = async () => {
    await openInvite();
    await this.#load();
  };

  async #revoke(one: Person): Promise<void> {
    const sure = await confirm({
      title: one.pending ? `Withdraw the invitation of ${one.name}?` : `Revoke ${one.name}?`,
      text: one.pending
        ? "The code and the link open nothing any more."
        : `${one.name} can do nothing here from now on: the page closes, tokens end, and ${one.name} leaves all groups, which get new keys. The devices stay in their groups; those that ${one.name} joined get new keys once somebody else has renewed them.`,
      yes: one.pending ? "Withdraw" : "Revoke",
    });
    if (sure && (await attempt(engine.revoke(one.id).then(() => true)))) {
      tell(one.pending ? `The invitation of ${one.name} is withdrawn.` : `${one.name} has no access any more.`);
      await this.#load();
    }
  }
}
