import { html, nothing } from "lit";
import { customElement } from "lit/decorators.js";
import { openRestore } from "../dialogs/restore";
import { fragmentOf } from "../engine/invitation";
import { accepting, acceptInvitation, invitationProblem } from "../invite";
import { icon } from "../icons";
import { note } from "../parts/note";
import { View } from "../view";
import "./welcome.css";

/** No site yet: open an invitation, or restore a backup. */
@customElement("ll-welcome")
export class Welcome extends View {
  protected override render() {
    const busy = accepting();
    const problem = invitationProblem();
    return html`
      <div class="head"><div><h1>Set up this browser</h1><p>It will hold the keys of one site, and bring its devices into groups.</p></div></div>
      ${busy ? note({ tone: "busy", icon: "wait", title: "Opening the invitation", text: "Signing in at the bridge, making the site’s key, enrolling at the Authorization Server." }) : nothing}
      <div class="welcome">
        <section class="card"><div class="body">
          ${icon("key")}
          <div>
            <h2>Open your invitation</h2>
            <p class="muted">Whoever runs the site sent you a link. Open it in this browser, or paste it here. <strong>lamplighter demo</strong> prints one when it starts.</p>
          </div>
          <form @submit=${this.#accept}>
            <div class="field">
              <label for="invitation">Invitation link</label>
              <input class="input" id="invitation" data-testid="invitation-text" autocomplete="off" autocapitalize="off" spellcheck="false" placeholder="${location.origin}/#i=…" required ?disabled=${busy} aria-describedby="invitation-problem" />
            </div>
            <p class="error" id="invitation-problem" role="alert" data-testid="invitation-problem">${problem ? html`${icon("fail")}<span>${problem.message} ${problem.next}</span>` : nothing}</p>
            <div class="row"><button class="btn go" data-testid="invitation-accept" ?disabled=${busy}>Open the invitation</button></div>
          </form>
        </div></section>
        <section class="card"><div class="body">
          ${icon("shield")}
          <div>
            <h2>Restore a backup</h2>
            <p class="muted">You have managed this site from another browser? Its backup file and passphrase bring everything here.</p>
          </div>
          <div class="row"><button class="btn" data-testid="restore-open" ?disabled=${busy} @click=${openRestore}>${icon("upload")}Restore a backup</button></div>
        </div></section>
      </div>`;
  }

  #accept = async (event: SubmitEvent) => {
    event.preventDefault();
    const input = this.querySelector<HTMLInputElement>("#invitation");
    const fragment = fragmentOf(input?.value ?? "");
    if (input) {
      input.value = ""; // it holds secrets
    }
    await acceptInvitation(fragment);
  };
}
