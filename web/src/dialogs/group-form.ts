import { html, nothing } from "lit";
import { customElement, state as reactive } from "lit/decorators.js";
import type { GroupChange, GroupConfig } from "../engine.gen";
import { engine } from "../engine/start";
import { icon } from "../icons";
import { Dialog, show } from "./dialog";
import "./invite.css";

const hours = (seconds: number) => String(Math.round((seconds / 3600) * 100) / 100);

/** Makes a group, or changes one. */
@customElement("ll-group-form")
export class GroupForm extends Dialog<GroupConfig> {
  protected readonly kind = "group-form";
  /** what is changed; undefined: a new one is made */
  config: GroupConfig | undefined;
  @reactive() private problem = "";
  @reactive() private busy = false;

  protected override content() {
    const config = this.config;
    return html`<form @submit=${this.#save}>
      ${this.header(config ? "Change " + config.name : "New group")}
      ${config
        ? nothing
        : html`<div class="field">
            <label for="group-name">Name</label>
            <input class="input" id="group-name" data-testid="group-name" required maxlength="64" pattern="[A-Za-z0-9._~\\-]+" autocomplete="off" autocapitalize="none" spellcheck="false" autofocus aria-describedby="group-name-hint" />
            <span class="hint" id="group-name-hint">Letters, digits, hyphens: hall-ceiling is shown as “Hall ceiling”.</span>
          </div>`}
      <div class="field">
        <label for="group-description">Description</label>
        <input class="input" id="group-description" data-testid="group-description" maxlength="120" .value=${config?.description ?? ""} autocomplete="off" />
      </div>
      ${config ? nothing : this.#kind()} ${this.#keys(config)}
      <p class="error" role="alert" data-testid="group-form-problem">${this.problem ? html`${icon("fail")}<span>${this.problem}</span>` : nothing}</p>
      <div class="acts">
        <button type="button" class="btn" data-testid="group-cancel" @click=${() => this.close()}>Cancel</button>
        <button class="btn go" data-testid="group-save" ?disabled=${this.busy}>${config ? "Save" : "Make the group"}</button>
      </div>
    </form>`;
  }

  /** What cannot be changed later. */
  #kind() {
    return html`<div class="field">
        <label for="group-mode">Protection</label>
        <select class="input" id="group-mode" data-testid="group-mode" aria-describedby="group-mode-hint">
          <option value="both">Signed messages to all, and messages between two</option>
          <option value="group">Signed messages only</option>
          <option value="pairwise">Messages between two only, no multicast commands</option>
        </select>
        <span class="hint" id="group-mode-hint">The first is right for lamps. It cannot be changed later.</span>
      </div>
      <div class="field">
        <label for="group-signature">Keys of the members</label>
        <select class="input" id="group-signature" data-testid="group-signature">
          <option value="EdDSA">Ed25519, what the devices of this site have</option>
          <option value="ES256">ES256 (P-256), for other makers’ devices</option>
        </select>
      </div>`;
  }

  #keys(config: GroupConfig | undefined) {
    const tick = (id: string, on: boolean, title: string, text: string) => html`<label class="choice">
      <input type="checkbox" id=${id} data-testid=${id} .checked=${on} /><span><strong>${title}</strong><span class="muted small">${text}</span></span>
    </label>`;
    return html`<fieldset class="roles">
      <legend>New keys</legend>
      ${tick("group-on-join", config?.rekeyOnJoin ?? false, "When somebody joins", "A new member cannot read what was said before.")}
      ${tick("group-one-to-many", config?.oneToMany ?? false, "By multicast", "One message instead of one to each: for large groups.")}
      <div class="field">
        <label for="group-period">And every … hours</label>
        <input class="input" id="group-period" data-testid="group-period" type="number" min="0" max="8760" step="any" inputmode="decimal" .value=${hours(config?.rekeyPeriod ?? 0)} aria-describedby="group-period-hint" />
        <span class="hint" id="group-period-hint">0: only when somebody leaves, and when the keys end.</span>
      </div>
    </fieldset>`;
  }

  #input(id: string): HTMLInputElement | null {
    return this.querySelector<HTMLInputElement>("#" + id);
  }

  #save = async (event: SubmitEvent) => {
    event.preventDefault();
    const change: GroupChange = {
      description: this.#input("group-description")!.value,
      rekeyOnJoin: this.#input("group-on-join")!.checked,
      oneToMany: this.#input("group-one-to-many")!.checked,
      rekeyPeriod: Math.round(Number(this.#input("group-period")!.value) * 3600),
    };
    this.busy = true;
    this.problem = "";
    try {
      const config = this.config
        ? await engine.changeGroup(this.config.name, { ...change, etag: this.config.etag })
        : await engine.createGroup(this.#input("group-name")!.value, {
            ...change,
            active: true,
            mode: this.querySelector<HTMLSelectElement>("#group-mode")!.value,
            signature: this.querySelector<HTMLSelectElement>("#group-signature")!.value,
          });
      this.close(config);
    } catch (reason) {
      const { message, next } = reason as Error & { next?: string };
      this.problem = [message, next].filter(Boolean).join(" ");
    }
    this.busy = false;
  };
}

export function openGroupForm(config?: GroupConfig): Promise<GroupConfig | undefined> {
  const dialog = new GroupForm();
  dialog.config = config;
  return show(dialog);
}
