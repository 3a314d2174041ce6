import { html, type TemplateResult } from "lit";
import { icon } from "../icons";
import { View } from "../view";

/**
 * A modal dialog that lives as long as it is open. T is what it is closed with;
 * undefined: it was put away.
 */
export abstract class Dialog<T = void> extends View {
  #result: T | undefined;
  #resolve!: (result: T | undefined) => void;
  readonly closed = new Promise<T | undefined>((resolve) => (this.#resolve = resolve));

  /** a word for data-testid and the heading's id */
  protected abstract readonly kind: string;
  protected abstract content(): TemplateResult;

  protected get heading(): string {
    return this.kind + "-heading";
  }

  /** The heading with the button that puts the dialog away. */
  protected header(title: string): TemplateResult {
    return html`<header>
      <h2 id=${this.heading}>${title}</h2>
      <button type="button" class="btn bare icon" aria-label="Close" data-testid="${this.kind}-close" @click=${() => this.close()}>${icon("close")}</button>
    </header>`;
  }

  protected close(result?: T): void {
    this.#result = result;
    this.querySelector("dialog")?.close();
  }

  protected override firstUpdated(): void {
    this.querySelector("dialog")?.showModal();
  }

  protected override render() {
    const gone = () => {
      this.remove();
      this.#resolve(this.#result);
    };
    const sheet = this.kind === "device";
    return html`<dialog class=${sheet ? "sheet" : ""} closedby=${sheet ? "any" : "closerequest"} aria-labelledby=${this.heading} data-testid="${this.kind}-dialog" @close=${gone}>
      ${this.content()}
    </dialog>`;
  }
}

/** Opens a dialog; resolves when it is closed. */
export function show<T>(dialog: Dialog<T>): Promise<T | undefined> {
  document.body.append(dialog);
  return dialog.closed;
}
