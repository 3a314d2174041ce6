import { html, nothing } from "lit";
import type { Group } from "../engine.gen";
import { clock, count, listed } from "../format";
import { status, type Words } from "../words";

const reasons: Record<string, string> = {
  join: "somebody joined",
  leave: "somebody left",
  eviction: "somebody was evicted",
  expiry: "somebody’s rights have ended",
  revocation: "somebody was revoked",
  period: "the time has come",
  lifetime: "the old ones have ended",
  request: "somebody asked for them",
  configuration: "the group’s settings changed",
};

/** How far the latest rekeying is: who has the new keys, who was told, who not. */
export function rekeying(group: Group) {
  const one = group.rekeying;
  if (!one) {
    return nothing;
  }
  const failed = one.failed ?? [];
  const running = one.ended === 0;
  const have = `${one.confirmed} of ${one.total} have them` + (one.told ? `, ${one.told} ${one.told === 1 ? "was" : "were"} told` : "");
  const words: Words = running
    ? { tone: "busy", icon: "wait", word: have }
    : failed.length
      ? { tone: "warn", icon: "warn", word: have }
      : { tone: "ok", icon: "ok", word: `all ${one.total} told` };
  const rest = [
    running && one.asking ? `${count(one.asking, "member")} will find out by asking` : "",
    one.barred ? `${count(one.barred, "member")} must be renewed first` : "",
    failed.length ? `${listed(failed)} did not answer and will ask when back` : "",
  ].filter(Boolean);
  return html`<div class="rekeying" data-testid="rekeying" data-running=${running} data-epoch=${one.epoch} data-reached=${one.confirmed + one.told}>
    <div class="row"><strong>Epoch ${one.epoch}: ${reasons[one.reason] ?? one.reason}</strong>${status(words, "rekeying-state")}<span class="muted small push">${clock(one.ended || one.started)}</span></div>
    <progress class="prog ${running ? "" : failed.length ? "fail" : "ok"}" max=${one.total || 1} .value=${running ? one.confirmed + one.told : one.total - failed.length} aria-label="New keys" data-testid="rekeying-progress"></progress>
    ${rest.length ? html`<p class="muted small">${rest.join("; ")}.</p>` : nothing}
  </div>`;
}
