// The page: connects to the engine, draws the shell, follows the address.

import { connect, engine, takeBootInvitation } from "./engine/start";
import { acceptInvitation } from "./invite";
import { watchUpdates } from "./news";
import { follow } from "./route";
import type { App } from "./shell/app";
import "./shell/app";
import { complain } from "./shell/toasts";
import { state } from "./state";
import { keepOffline } from "./update";
import { keepAwake } from "./wake";

const app = () => document.querySelector("ll-app") as App;

async function invited(fragment: string): Promise<void> {
  const problem = await acceptInvitation(fragment);
  if (problem && state.hasSite) {
    complain(problem); // without a site the welcome screen says it
  }
}

/** The engine is there and the first control works. */
async function ready(): Promise<void> {
  await app().updateComplete;
  performance.mark("lamplighter-ready");
  document.documentElement.dataset["ready"] = "true";
  keepOffline();
  keepAwake();
}

connect();
watchUpdates();
follow((fragment) => void invited(fragment), () => app().arrive());
if (engine) {
  const invitation = takeBootInvitation();
  const stop = state.watch(() => {
    if (state.ready) {
      stop();
      void ready();
      if (invitation) {
        void invited(invitation);
      }
    }
  });
}
