// Routes are the fragment: #/devices, #/groups/hall. A server needs to know
// nothing of them, and they work off-line.

import { state } from "./state";
import { takeInvitation } from "./engine/invitation";

export type Section = "site" | "devices" | "groups" | "people" | "jobs" | "log" | "firmware" | "settings";

export interface Route {
  section: Section;
  /** a device's id, the name of a group or the id of a job; empty: the list */
  item: string;
  /** which of an item's pages; empty: the first */
  part: string;
}

const sections: readonly Section[] = ["site", "devices", "groups", "people", "jobs", "log", "firmware", "settings"];

function parse(hash: string): Route {
  const [section = "", item = "", part = ""] = hash.replace(/^#\/?/, "").split("/");
  const known = sections.find((one) => one === section);
  try {
    return { section: known ?? "site", item: known ? decodeURIComponent(item) : "", part: known ? part : "" };
  } catch {
    return { section: known ?? "site", item: "", part: "" };
  }
}

export function href(section: Section, item = "", part = ""): string {
  return "#/" + section + (item ? "/" + encodeURIComponent(item) : "") + (part ? "/" + part : "");
}

export let route: Route = parse(location.hash);

export function go(section: Section, item = "", part = ""): void {
  location.hash = href(section, item, part);
}

/** Follows the address; an invitation link pasted into it comes along here. */
export function follow(invited: (fragment: string) => void, moved: () => void): void {
  addEventListener("hashchange", () => {
    const fragment = takeInvitation();
    if (fragment) {
      invited(fragment);
    }
    const before = route;
    route = parse(location.hash);
    state.changed();
    if (before.section !== route.section || (route.section !== "devices" && (before.item !== route.item || before.part !== route.part))) {
      moved();
    }
  });
}
