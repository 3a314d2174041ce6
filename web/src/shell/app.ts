import { html, nothing, type TemplateResult } from "lit";
import { customElement } from "lit/decorators.js";
import { bones } from "../parts/empty";
import { route, type Section } from "../route";
import { state } from "../state";
import { View } from "../view";
import "./banner";
import { firmware, people, settings } from "./later";
import "./nav";
import "./toasts";
import "./top";
import "../screens/devices";
import "../screens/group";
import "../screens/groups";
import "../screens/jobs";
import "../screens/log";
import "../screens/obstacle";
import "../screens/site";
import "../screens/welcome";

const titles: Record<Section, string> = { site: "Site", devices: "Devices", groups: "Groups", people: "People", jobs: "Jobs", log: "Log", firmware: "Firmware", settings: "Settings" };

/** What a job's board is made for. */
function kindOf(job: string): "settings" | "firmware" {
  return state.runs.has(job) || state.jobs.get(job)?.kind === "settings" ? "settings" : "firmware";
}

/** The shell: what is around every screen, and which screen it is. */
@customElement("ll-app")
export class App extends View {
  override connectedCallback(): void {
    this.replaceChildren(); // what index.html painted
    super.connectedCallback();
  }

  /** Moves the focus to a new screen, as loading a page would. */
  arrive(): void {
    void this.updateComplete.then(() => {
      const main = this.querySelector<HTMLElement>("main");
      main?.scrollTo(0, 0);
      main?.focus();
    });
  }

  protected override render() {
    const title = this.#title();
    document.title = (title ? title + " · " : "") + "Lamplighter";
    const obstacle = !["starting", "ready"].includes(state.phase);
    return html`
      <button class="btn skip" data-testid="skip" @click=${() => this.querySelector<HTMLElement>("main")?.focus()}>Skip to the content</button>
      <ll-top class="top" role="banner" .crumb=${obstacle ? "" : title}></ll-top>
      <ll-nav class="nav" role="navigation" aria-label="Screens"></ll-nav>
      <main tabindex="-1" data-testid="main" data-phase=${state.phase}>
        ${obstacle ? html`<ll-obstacle></ll-obstacle>` : html`<ll-banner></ll-banner>${this.#screen()}`}
      </main>
      <ll-toasts></ll-toasts>`;
  }

  #title(): string {
    if (state.ready && !state.hasSite && route.section !== "log") {
      return "Welcome";
    }
    if (route.section === "groups" && route.item) {
      return state.groups.get(route.item)?.title || route.item;
    }
    return titles[route.section === "jobs" && route.item && state.ready ? kindOf(route.item) : route.section];
  }

  #screen(): TemplateResult | typeof nothing {
    if (state.ready && !state.hasSite && route.section !== "log") {
      return html`<ll-welcome class="screen"></ll-welcome>`;
    }
    switch (route.section) {
      case "site":
        return html`<ll-site class="screen"></ll-site>`;
      case "devices":
        return html`<ll-devices class="screen"></ll-devices>`;
      case "groups":
        return route.item
          ? html`<ll-group class="screen" .name=${route.item}></ll-group>`
          : html`<ll-groups class="screen"></ll-groups>`;
      case "people":
        return people(html`<ll-people class="screen"></ll-people>`);
      case "jobs":
        return route.item ? this.#board(route.item) : html`<ll-jobs class="screen"></ll-jobs>`;
      case "firmware":
        return firmware(html`<ll-firmware class="screen" .group=${route.item}></ll-firmware>`);
      case "settings":
        return settings(html`<ll-settings class="screen" .group=${route.item} .page=${route.part}></ll-settings>`);
      case "log":
        return html`<ll-log class="screen"></ll-log>`;
    }
  }

  #board(job: string): TemplateResult {
    if (!state.ready) {
      return bones();
    }
    return kindOf(job) === "settings" ? settings(html`<ll-settings-run class="screen" .job=${job}></ll-settings-run>`) : firmware(html`<ll-rollout class="screen" .job=${job}></ll-rollout>`);
  }
}
