import { html } from "lit";
import { customElement } from "lit/decorators.js";
import { repeat } from "lit/directives/repeat.js";
import { icon } from "../icons";
import { bones, empty } from "../parts/empty";
import { jobs, live } from "../parts/job";
import "../parts/job-card";
import { href } from "../route";
import { state } from "../state";
import { View } from "../view";

/** Everything that takes a while; it goes on after a reload. */
@customElement("ll-jobs")
export class Jobs extends View {
  protected override render() {
    const all = jobs();
    const running = all.filter(live).length;
    return html`
      <div class="head"><div><h1>Jobs</h1><p data-testid="jobs-summary">${state.ready ? (running ? `${running} running` : "Nothing is running") + ". Jobs go on after a reload." : "Starting the engine"}</p></div>
        <div class="acts"><a class="btn" data-testid="jobs-firmware" href=${href("firmware")}>${icon("upload")}Update firmware</a></div></div>
      ${!state.ready
        ? bones()
        : all.length
          ? repeat(all, (job) => job.id, (job) => html`<ll-job-card full .job=${job}></ll-job-card>`)
          : empty("job", "No jobs yet", "Joining, removing, releasing and updating devices are jobs: each device’s step is kept here, and what failed can be tried again.",
              html`<a class="btn" data-testid="jobs-devices" href=${href("devices")}>To the devices</a>`)}`;
  }
}
