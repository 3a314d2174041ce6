// Screens that the first view does without: they come as a file of their own
// when somebody opens one.

import { html, type TemplateResult } from "lit";
import { bones, empty } from "../parts/empty";
import { state } from "../state";

let stage: "none" | "loading" | "there" | "failed" = "none";

function load(): void {
  stage = "loading";
  const end = (now: typeof stage) => () => {
    stage = now;
    state.changed();
  };
  import("../firmware/firmware").then(end("there"), end("failed"));
}

/** A screen of firmware, once it is there. */
export function firmware(screen: TemplateResult): TemplateResult {
  if (stage === "none") {
    load();
  }
  if (stage === "failed") {
    return empty("offline", "This screen could not be loaded", "The bridge does not answer. Come back to it and load the page again.",
      html`<button class="btn go" data-testid="reload" @click=${() => location.reload()}>Load again</button>`);
  }
  return stage === "there" ? screen : html`<div class="screen"><div class="head"><h1>Firmware</h1></div>${bones()}</div>`;
}
