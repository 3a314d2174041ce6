// Screens that the first view does without: they come as files of their own when
// somebody opens one.

import { html, type TemplateResult } from "lit";
import { bones, empty } from "../parts/empty";
import { state } from "../state";

interface Later {
  title: string;
  load(): Promise<unknown>;
  stage: "none" | "loading" | "there" | "failed";
}

function start(one: Later): void {
  one.stage = "loading";
  const end = (now: Later["stage"]) => () => {
    one.stage = now;
    state.changed();
  };
  one.load().then(end("there"), end("failed"));
}

function later(one: Later): (screen: TemplateResult) => TemplateResult {
  return (screen) => {
    if (one.stage === "none") {
      start(one);
    }
    if (one.stage === "failed") {
      return empty("offline", "This screen could not be loaded", "The bridge does not answer. Come back to it and load the page again.",
        html`<button class="btn go" data-testid="reload" @click=${() => location.reload()}>Load again</button>`);
    }
    return one.stage === "there" ? screen : html`<div class="screen"><div class="head"><h1>${one.title}</h1></div>${bones()}</div>`;
  };
}

/** A screen of firmware, once it is there. */
export const firmware = later({ title: "Firmware", load: () => import("../firmware/firmware"), stage: "none" });

/** A screen of settings, once it is there. */
export const settings = later({ title: "Settings", load: () => import("../settings/settings"), stage: "none" });

/** Who has access, once it is there. */
export const people = later({ title: "People", load: () => import("../screens/people"), stage: "none" });
