import { html, nothing } from "lit";
import { customElement, state as reactive } from "lit/decorators.js";
import type { Group, GroupMember, RekeyPreview } from "../engine.gen";
import { engine } from "../engine/start";
import { count, listed } from "../format";
import { note } from "../parts/note";
import { attempt } from "../shell/toasts";
import { Dialog, show } from "./dialog";

/** Shows what an eviction or new keys would do, then does it. */
@customElement("ll-rekey")
export class Rekey extends Dialog<boolean> {
  protected readonly kind = "rekey";
  group!: Group;
  /** who is evicted; nobody: new keys only */
  evicted: GroupMember[] = [];
  @reactive() private preview: RekeyPreview | undefined;
  @reactive() private problem = "";
  @reactive() private busy = false;

  override connectedCallback(): void {
    super.connectedCallback();
    void this.#ask();
  }

  protected override content() {
    const names = listed(this.evicted.map((one) => one.name));
    return html`<div class="body">
      ${this.header(this.evicted.length ? `Evict ${names} from ${this.group.title}?` : `New keys for ${this.group.title}?`)}
      <p>
        ${this.evicted.length
          ? `${names} can neither read nor send in the group any more. All others get new keys.`
          : "All members get new keys; what they have now opens nothing that is sent later."}
      </p>
      <div role="status" data-testid="rekey-preview" aria-busy=${!this.preview && !this.problem}>
        ${this.problem ? note({ tone: "fail", icon: "fail", title: "What this would do cannot be told.", text: this.problem }) : this.preview ? this.#facts(this.preview) : html`<p class="muted">Asking the Group Manager what this would do</p>`}
      </div>
      <div class="acts">
        <button class="btn" autofocus data-testid="rekey-no" @click=${() => this.close(false)}>Cancel</button>
        <button class="btn ${this.evicted.length ? "harm full" : "go"}" data-testid="rekey-yes" ?disabled=${!this.preview || this.busy} @click=${this.#do}>${this.evicted.length ? "Evict" : "Send new keys"}</button>
      </div>
    </div>`;
  }

  #facts(preview: RekeyPreview) {
    const stale = preview.stale ?? [];
    const barred = preview.barred ?? [];
    return html`<dl class="facts">
        ${stale.length ? html`<dt>Goes stale</dt><dd data-testid="rekey-stale">${"Sender ID " + listed(stale, 8)}</dd>` : nothing}
        <dt>Get new keys</dt><dd data-testid="rekey-receive">${count(preview.receive, "member")}${preview.asking ? html`<span class="muted">, ${preview.asking} of them by asking</span>` : nothing}</dd>
        <dt>How</dt><dd>${preview.oneToMany ? "one message to all by multicast" : "to each member by itself"}, about ${count(preview.messages, "message")}</dd>
      </dl>
      ${barred.length
        ? note({
            tone: "warn",
            icon: "warn",
            title: `${listed(barred)} will get no keys.`,
            text: "Somebody who was revoked had joined them. Renew them first, or afterwards.",
          })
        : nothing}`;
  }

  async #ask(): Promise<void> {
    try {
      const nodes = this.evicted.map((one) => one.node);
      this.preview = nodes.length ? await engine.previewEvict(this.group.name, nodes) : await engine.previewKeys(this.group.name);
    } catch (reason) {
      this.problem = (reason as Error).message;
    }
  }

  #do = async () => {
    this.busy = true;
    const nodes = this.evicted.map((one) => one.node);
    const done = await attempt((nodes.length ? engine.evict(this.group.name, nodes) : engine.newKeys(this.group.name)).then(() => true));
    this.busy = false;
    if (done) {
      this.close(true);
    }
  };
}

export async function openRekey(group: Group, evicted: GroupMember[] = []): Promise<boolean> {
  const dialog = new Rekey();
  dialog.group = group;
  dialog.evicted = evicted;
  return (await show(dialog)) === true;
}
