import { html, nothing } from "lit";
import { customElement, state as reactive } from "lit/decorators.js";
import type { NewInvitation, PersonRole } from "../engine.gen";
import { engine } from "../engine/start";
import { minute } from "../format";
import { icon } from "../icons";
import { qr } from "../parts/qr";
import { attempt, tell } from "../shell/toasts";
import { roleWords } from "../words";
import { Dialog, show } from "./dialog";
import "./invite.css";

const days = [1, 7, 30];

/** Invites somebody: a name, a role, then a code that works once. */
@customElement("ll-invite")
export class Invite extends Dialog<NewInvitation> {
  protected readonly kind = "invite";
  @reactive() private chosen: PersonRole = "installer";
  @reactive() private busy = false;
  @reactive() private made: NewInvitation | undefined;

  protected override content() {
    return this.made ? this.#show(this.made) : this.#ask();
  }

  #ask() {
    return html`<form @submit=${this.#invite}>
      ${this.header("Invite somebody")}
      <div class="field">
        <label for="invite-name">Name</label>
        <input class="input" id="invite-name" data-testid="invite-name" required maxlength="64" autocomplete="off" autofocus />
        <span class="hint">Logs and the list of people show it.</span>
      </div>
      <fieldset class="roles">
        <legend>What they may do</legend>
        ${(Object.keys(roleWords) as PersonRole[]).map(
          (role) => html`<label class="choice">
            <input type="radio" name="role" value=${role} data-testid="invite-role-${role}" .checked=${role === this.chosen} @change=${() => (this.chosen = role)} />
            <span><strong>${roleWords[role].word}</strong><span class="muted small">${roleWords[role].may}</span></span>
          </label>`,
        )}
      </fieldset>
      <div class="field">
        <label for="invite-days">The invitation is good for</label>
        <select class="input" id="invite-days" data-testid="invite-days">
          ${days.map((n) => html`<option value=${n} ?selected=${n === 7}>${n === 1 ? "1 day" : n + " days"}</option>`)}
        </select>
      </div>
      <div class="acts">
        <button type="button" class="btn" data-testid="invite-cancel" @click=${() => this.close()}>Cancel</button>
        <button class="btn go" data-testid="invite-make" ?disabled=${this.busy}>Make the invitation</button>
      </div>
    </form>`;
  }

  #show(made: NewInvitation) {
    const link = location.origin + "/#" + made.fragment;
    return html`<div class="body">
      ${this.header("Invitation for " + made.name)}
      <p>${made.name} scans this code, or opens the link. It works once, until ${minute(made.expires)}. Whoever has it gets in, so show it to nobody else.</p>
      ${qr(link, "QR code of the invitation for " + made.name)}
      <div class="field">
        <label for="invite-link">The link</label>
        <input class="input" id="invite-link" data-testid="invite-link" readonly .value=${link} @focus=${(event: FocusEvent) => (event.target as HTMLInputElement).select()} />
      </div>
      <div class="acts">
        ${navigator.clipboard ? html`<button class="btn" data-testid="invite-copy" @click=${() => this.#copy(link)}>${icon("copy")}Copy the link</button>` : nothing}
        <button class="btn go" data-testid="invite-done" @click=${() => this.close(made)}>Done</button>
      </div>
    </div>`;
  }

  #invite = async (event: SubmitEvent) => {
    event.preventDefault();
    const name = this.querySelector<HTMLInputElement>("#invite-name")!.value;
    const until = Number(this.querySelector<HTMLSelectElement>("#invite-days")!.value);
    this.busy = true;
    this.made = await attempt(engine.invite(name, this.chosen, until));
    this.busy = false;
  };

  async #copy(link: string): Promise<void> {
    if ((await attempt(navigator.clipboard.writeText(link).then(() => true))) === true) {
      tell("The link is in the clipboard.");
    }
  }
}

export const openInvite = () => show(new Invite());
