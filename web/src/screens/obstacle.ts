import { html, nothing, type TemplateResult } from "lit";
import { customElement } from "lit/decorators.js";
import { takeOver } from "../engine/start";
import { icon, type Icon } from "../icons";
import { state } from "../state";
import { View } from "../view";
import "./obstacle.css";

/** Why the page does not start here, and what to do about it. */
@customElement("ll-obstacle")
export class Obstacle extends View {
  protected override render() {
    switch (state.phase) {
      case "insecure":
        return this.#insecure();
      case "unsupported":
        return this.#card("unsupported", "warn", "This browser is too old",
          "Lamplighter needs WebAssembly, Web Locks, IndexedDB and the popover API: Chrome or Edge 116, Firefox 125, Safari 17 or newer. A private window may lack some of them.");
      case "held":
        return this.#card("held", "tabs", "Lamplighter is open in another tab",
          "Only one tab may hold the site’s keys at a time: two would use the same sequence numbers, and that would break their protection.", this.#takeover());
      case "lost":
        return this.#card("lost", "tabs", "Another tab took over",
          "This tab has put the keys away and sends nothing any more. Jobs go on in the other tab.", this.#takeover());
      default:
        return this.#card("stopped", "fail", "The engine does not run", html`${state.reason} What was finished is kept. Load the page again; if it stops again, see whether the bridge runs.`,
          html`<button class="btn go" data-testid="reload" @click=${() => location.reload()}>${icon("job")}Load again</button>`);
    }
  }

  #card(kind: string, image: Icon, title: string, text: string | TemplateResult, action?: TemplateResult) {
    return html`<section class="card obstacle" data-testid="obstacle" data-kind=${kind}><div class="body">
      ${icon(image)}
      <div><h1>${title}</h1><p class="muted">${text}</p></div>
      ${action ? html`<div class="row">${action}</div>` : nothing}
    </div></section>`;
  }

  #takeover() {
    return html`<button class="btn go" data-testid="takeover" @click=${takeOver}>${icon("tabs")}Take over here</button>`;
  }

  #insecure() {
    const { host, port } = location;
    const local = `http://localhost${port ? ":" + port : ""}/`;
    return html`<section class="card obstacle" data-testid="obstacle" data-kind="insecure"><div class="body">
      ${icon("lock")}
      <div>
        <h1>This address is not secure</h1>
        <p class="muted">The page came from <code>${location.origin}</code> without encryption. Anyone on the way could have changed it, and browsers keep the means to hold keys safely from such pages. So the engine does not start here.</p>
      </div>
      <ol>
        <li><strong>On the machine that runs the bridge</strong><span class="muted">open <a href=${local}>${local}</a> there: a page from the machine itself counts as secure.</span></li>
        <li><strong>On any other machine or tablet</strong><span class="muted">start the bridge with <code>--tls-cert</code>, <code>--tls-key</code> and <code>--origin https://${host}</code>, and open <code>https://${host}/</code>. The tablet must trust the certificate.</span></li>
      </ol>
      <p class="muted small">An invitation link works at the new address too: put what stood after <code>#</code> behind it.</p>
    </div></section>`;
  }
}
