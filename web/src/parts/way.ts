// The one way through: labels, found, joined, proved, backed up.

import { count } from "../format";
import { href } from "../route";
import { state } from "../state";
import type { Words } from "../words";
import { groupTitle, jobs, live } from "./job";

export interface Step {
  id: string;
  title: string;
  text: string;
  words: Words;
}

interface Next {
  title: string;
  text: string;
  word: string;
  href: string;
}

const done: Words = { tone: "ok", icon: "ok", word: "done" };
const open: Words = { tone: "doubt", icon: "wait", word: "planned" };
const busy: Words = { tone: "busy", icon: "wait", word: "working" };

function of(part: number, whole: number): Words {
  return whole > 0 && part >= whole ? done : part > 0 ? { ...busy, word: "begun" } : open;
}

/** Where the site stands, and the next step. */
export function way(): { steps: Step[]; next: Next } {
  const labels = [...state.devices.values()].filter((device) => device.labelKnown);
  const found = labels.filter((device) => device.found).length;
  const joined = labels.filter((device) => device.groups.length > 0);
  const groups = [...state.groups.values()].filter((group) => (group.members ?? []).length > 0);
  const verified = groups.reduce((sum, group) => sum + (group.rollCall?.verified ?? 0), 0);
  const members = groups.reduce((sum, group) => sum + (group.members ?? []).length, 0);
  const running = jobs().some(live);
  const steps: Step[] = [
    { id: "labels", title: "Labels", text: labels.length ? count(labels.length, "label") + " imported" : "none yet", words: labels.length ? done : open },
    { id: "found", title: "Found", text: `${found} of ${labels.length} on the network`, words: of(found, labels.length) },
    { id: "joined", title: "Joined", text: `${joined.length} of ${labels.length} in a group`, words: running ? busy : of(joined.length, labels.length) },
    { id: "proved", title: "Proved", text: members ? `${verified} of ${members} answered` : "no roll call yet", words: of(verified, members) },
    { id: "backup", title: "Backed up", text: state.site.backedUp ? "key saved as a file" : "the key is only here", words: state.site.backedUp ? done : { tone: "warn", icon: "warn", word: "not yet" } },
  ];
  return { steps, next: next(labels.length, found, joined.length, members, verified) };
}

function next(labels: number, found: number, joined: number, members: number, verified: number): Next {
  const first = [...state.groups.values()].find((group) => (group.members ?? []).length > 0)?.name ?? "";
  if (labels === 0) {
    return { title: "Next: import the labels", text: "The CSV file that came with the devices, or the text of their codes.", word: "To the devices", href: href("devices") };
  }
  if (found === 0 && joined === 0) {
    return { title: "Next: see who is there", text: "A discovery asks the whole network at once.", word: "To the devices", href: href("devices") };
  }
  if (joined === 0) {
    return { title: `Next: join ${count(found, "device")}`, text: "They are claimed for this site first, then they get the group’s keys.", word: "To the devices", href: href("devices") };
  }
  if (verified === 0 || verified < members) {
    return { title: "Next: call the roll", text: "One message; each device proves under its own key that it is there.", word: "Open " + groupTitle(first), href: href("groups", first) };
  }
  if (joined < labels) {
    return { title: `Next: ${count(labels - joined, "device")} left`, text: "They have a label and are in no group yet.", word: "To the devices", href: href("devices") };
  }
  return { title: "Everything answers", text: "Switch and dim the group, or call the roll again at any time.", word: "Open " + groupTitle(first), href: href("groups", first) };
}
