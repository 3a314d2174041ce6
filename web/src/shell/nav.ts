import { html, nothing } from "lit";
import { customElement } from "lit/decorators.js";
import { icon, type Icon } from "../icons";
import { href, route, type Section } from "../route";
import { state } from "../state";
import { View } from "../view";

const entries: readonly [Section, string, Icon][] = [
  ["site", "Site", "site"],
  ["devices", "Devices", "list"],
  ["groups", "Groups", "group"],
  ["people", "People", "people"],
  ["jobs", "Jobs", "job"],
  ["log", "Log", "log"],
];

/** Firmware is begun from a group or from the jobs, settings from a group. */
const place = (): Section => (route.section === "firmware" || route.section === "settings" ? (route.item ? "groups" : "jobs") : route.section);

/** A rail at the side, or a bar at the bottom of a tablet held upright. */
@customElement("ll-nav")
export class Nav extends View {
  protected override render() {
    if (state.phase !== "starting" && !state.ready) {
      return nothing; // there is nowhere to go
    }
    const running = [...state.jobs.values()].filter((job) => job.state === "running" || job.state === "waiting").length;
    const shown = entries.filter(([section]) =>
      state.ready && !state.hasSite ? section === "site" || section === "log" : section !== "people" || state.site.rights.people,
    );
    return html`<ul>
      ${shown.map(([section, word, image]) => {
        const current = place() === section || (section === "site" && !shown.some(([one]) => one === place())) ? "page" : undefined;
        return html`<li>
          <a href=${href(section)} data-testid="nav-${section}" aria-current=${current ?? nothing}>
            ${icon(image)}<span>${word}</span>
            ${section === "jobs" && running
              ? html`<span class="n" data-testid="nav-jobs-count">${running}<span class="sr"> running</span></span>`
              : nothing}
          </a>
        </li>`;
      })}
    </ul>`;
  }
}
