// Taking an invitation, from the address or pasted.

import { EngineError } from "./engine/client";
import { engine } from "./engine/start";
import { go } from "./route";
import { tell } from "./shell/toasts";
import { state } from "./state";

let busy = false;

export const accepting = (): boolean => busy;

/** Takes what stood after # in a link; resolves to what is wrong with it. */
export async function acceptInvitation(fragment: string): Promise<EngineError | undefined> {
  busy = true;
  state.changed();
  try {
    const site = await engine.acceptInvitation(fragment);
    tell(site.name + " is set up in this browser.");
    go("site");
    return undefined;
  } catch (reason) {
    return reason instanceof EngineError ? reason : new EngineError({ code: "invitation", message: String(reason), next: "", retry: false });
  } finally {
    busy = false;
    state.changed();
  }
}
