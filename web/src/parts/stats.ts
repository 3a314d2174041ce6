import { html } from "lit";

export interface Stat {
  value: string;
  label: string;
  testid: string;
}

/** A row of numbers, each with what it counts. */
export function stats(all: Stat[]) {
  return html`<dl class="card stats">
    ${all.map((one) => html`<div><dt>${one.label}</dt><dd data-testid=${one.testid}>${one.value}</dd></div>`)}
  </dl>`;
}
