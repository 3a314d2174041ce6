// Taking an invitation, from the address or pasted.

import { EngineError } from "./engine/client";
import { engine } from "./engine/start";
import { go } from "./route";
import { tell } from "./shell/toasts";
import { state } from "./state";

let busy = false;
let refused: EngineError | undefined;

export const accepting = (): boolean => busy;

/** What was wrong with the last invitation, until the next is tried. */
export const invitationProblem = (): EngineError | undefined => refused;

/** Takes what stood after # in a link; resolves to what is wrong with it. */
export async function acceptInvitation(fragment: string): Promise<EngineError | undefined> {
  busy = true;
  refused = undefined;
  state.changed();
  try {
    const site = await engine.acceptInvitation(fragment);
    tell(site.name + " is set up in this browser.");
    go("site");
    return undefined;
  } catch (reason) {
    refused = reason instanceof EngineError ? reason : new EngineError({ code: "invitation", message: String(reason), next: "", retry: false });
    return refused;
  } finally {
    busy = false;
    state.changed();
  }
}
