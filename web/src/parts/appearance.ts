import { html } from "lit";
import { prefs, setDensity, setTheme, type Density, type Theme } from "../prefs";

const themes: readonly [Theme, string][] = [["auto", "As the system"], ["light", "Light"], ["dark", "Dark"], ["sun", "Sun"]];
const densities: readonly [Density, string][] = [["normal", "Normal"], ["gloves", "Gloves"]];

function choices<T extends string>(legend: string, testid: string, all: readonly [T, string][], now: T, choose: (one: T) => void) {
  return html`<fieldset class="choices">
    <legend>${legend}</legend>
    <div class="seg">
      ${all.map(
        ([value, word]) => html`<button type="button" aria-pressed=${value === now} data-testid="${testid}-${value}" @click=${() => choose(value)}>${word}</button>`,
      )}
    </div>
  </fieldset>`;
}

/** Theme and density; changed is called after a choice. It stands in two places, prefix tells their controls apart. */
export function appearance(prefix: string, changed: () => void) {
  return html`
    ${choices("Theme", prefix + "theme", themes, prefs.theme, (theme) => (setTheme(theme), changed()))}
    ${choices("Size of targets", prefix + "density", densities, prefs.density, (density) => (setDensity(density), changed()))}`;
}
