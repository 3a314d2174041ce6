import { html } from "lit";
import { customElement } from "lit/decorators.js";
import { Dialog, show } from "./dialog";

export interface Question {
  title: string;
  text: string;
  yes: string;
}

/** Asks before something that cannot simply be taken back. */
@customElement("ll-confirm")
export class Confirm extends Dialog<boolean> {
  protected readonly kind = "confirm";
  question!: Question;

  protected override content() {
    return html`<div class="body">
      ${this.header(this.question.title)}
      <p>${this.question.text}</p>
      <div class="acts">
        <button class="btn" autofocus data-testid="confirm-no" @click=${() => this.close(false)}>Cancel</button>
        <button class="btn harm full" data-testid="confirm-yes" @click=${() => this.close(true)}>${this.question.yes}</button>
      </div>
    </div>`;
  }
}

export async function confirm(question: Question): Promise<boolean> {
  const dialog = new Confirm();
  dialog.question = question;
  return (await show(dialog)) === true;
}
