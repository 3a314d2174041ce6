// What ends while one looks at something else is said.

import { hasBoard, jobProgress, jobTitle, live } from "./parts/job";
import { go, route } from "./route";
import { complain, tell } from "./shell/toasts";
import { state } from "./state";
import { jobState } from "./words";

/** Says how an update of firmware or a change of settings ended, but on its own board, which says it itself. */
export function watchUpdates(): void {
  state.onJob = (job, before) => {
    if (!hasBoard(job) || !before || !live(before) || live(job) || route.item === job.id) {
      return;
    }
    const text = `${jobTitle(job)}: ${jobState(job.state).word}, ${jobProgress(job)}.`;
    if (job.state === "done") {
      tell(text, { word: "Open the board", run: () => go("jobs", job.id) });
    } else {
      complain(text);
    }
  };
}
