import { html, nothing } from "lit";
import { customElement, state as reactive } from "lit/decorators.js";
import { repeat } from "lit/directives/repeat.js";
import { EngineError } from "../engine/client";
import { icon } from "../icons";
import { View } from "../view";
import "./toasts.css";

interface Toast {
  key: number;
  text: string;
  next: string;
  failed: boolean;
  action?: { word: string; run(): void };
}

/** How long good news stays; bad news stays until it is closed. */
const stay = 5000;
/** How many pieces of bad news are shown at most; of good news only the last. */
const most = 3;

/** Short messages above everything, read out by screen readers. */
@customElement("ll-toasts")
export class Toasts extends View {
  @reactive() private toasts: Toast[] = [];
  #key = 0;

  add(toast: Omit<Toast, "key">): void {
    const key = ++this.#key;
    const bad = this.toasts.filter((one) => one.failed && one.text !== toast.text);
    this.toasts = [...bad, { key, ...toast }].slice(-most);
    if (!toast.failed) {
      setTimeout(() => this.drop(key), toast.action ? 2 * stay : stay);
    }
    // Shown again, it comes to lie above a dialog that was opened meanwhile.
    const popover = this.firstElementChild as HTMLElement | null;
    popover?.hidePopover();
    popover?.showPopover();
  }

  drop(key: number): void {
    this.toasts = this.toasts.filter((toast) => toast.key !== key);
  }

  protected override firstUpdated(): void {
    (this.firstElementChild as HTMLElement).showPopover();
  }

  protected override render() {
    return html`<div class="toasts" popover="manual" role="status" aria-label="Messages">
      ${repeat(this.toasts, (toast) => toast.key, (toast) => this.#toast(toast))}
    </div>`;
  }

  #toast(toast: Toast) {
    const act = () => {
      this.drop(toast.key);
      toast.action?.run();
    };
    return html`<div class="toast" data-testid="toast" data-failed=${toast.failed}>
      ${icon(toast.failed ? "fail" : "ok")}
      <div><strong>${toast.text}</strong>${toast.next ? html`<p>${toast.next}</p>` : nothing}</div>
      ${toast.action ? html`<button class="btn act" data-testid="toast-action" @click=${act}>${toast.action.word}</button>` : nothing}
      <button class="btn icon" aria-label="Close this message" data-testid="toast-close" @click=${() => this.drop(toast.key)}>${icon("close")}</button>
    </div>`;
  }
}

const place = () => document.querySelector("ll-toasts") as Toasts;

/** Says that something was done. */
export function tell(text: string, action?: Toast["action"]): void {
  place().add({ text, next: "", failed: false, ...(action ? { action } : {}) });
}

/** Says what went wrong and what to do next. */
export function complain(reason: unknown): void {
  const text = reason instanceof Error ? reason.message : String(reason);
  const next = reason instanceof EngineError ? reason.next : "";
  place().add({ text, next, failed: true });
}

/** Waits for work; what goes wrong is said. Undefined: it went wrong. */
export async function attempt<T>(work: Promise<T>): Promise<T | undefined> {
  try {
    return await work;
  } catch (reason) {
    complain(reason);
    return undefined;
  }
}
