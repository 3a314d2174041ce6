// A small chart: lines over time, drawn as SVG. What it shows stands beside it
// in words and figures too.

import { html, svg, type TemplateResult } from "lit";
import { clock } from "../format";

export interface Line {
  name: string;
  /** of the same length as the times */
  values: number[];
  /** the second of two lines */
  dashed?: boolean;
}

export interface Chart {
  title: string;
  testid: string;
  /** milliseconds since 1970, ascending */
  times: number[];
  lines: Line[];
  /** the top of the scale is at least here */
  least: number;
  say(value: number): string;
}

const width = 600;
const height = 120;

/** The next of 1, 2, 5, 10, 20 … that is not below n. */
export function nice(n: number): number {
  const power = 10 ** Math.floor(Math.log10(n));
  return [1, 2, 5, 10].map((step) => step * power).find((top) => top >= n * (1 - 1e-9)) ?? n;
}

/** The path of a line in a box of width and height. */
export function path(times: number[], values: number[], top: number): string {
  const first = times[0] ?? 0;
  const whole = (times.at(-1) ?? 0) - first || 1;
  const at = (i: number) => ((times[i]! - first) / whole) * width;
  const up = (value: number) => height - Math.min(1, value / top) * height;
  return values.map((value, i) => `${i ? "L" : "M"}${at(i).toFixed(1)} ${up(value).toFixed(1)}`).join("");
}

export function chart(one: Chart): TemplateResult {
  const most = Math.max(one.least, ...one.lines.flatMap((line) => line.values));
  const top = nice(most * 1.05);
  const enough = one.times.length > 1;
  const now = one.lines.map((line) => `${line.name} ${one.say(line.values.at(-1) ?? 0)}`).join(", ");
  const peak = one.lines.map((line) => one.say(Math.max(0, ...line.values))).join(" and ");
  const span = enough ? `from ${clock(one.times[0]!)} to ${clock(one.times.at(-1)!)}` : "";
  return html`<figure class="chart">
    <figcaption><strong>${one.title}</strong>
      <span class="keys">${one.lines.map((line) => html`<span class=${line.dashed ? "dashed" : ""}><i aria-hidden="true"></i>${line.name} <b>${enough || line.values.length ? one.say(line.values.at(-1) ?? 0) : "–"}</b></span>`)}</span>
    </figcaption>
    ${enough
      ? html`<div class="plot" role="img" aria-label="${one.title} ${span}: now ${now}; highest ${peak}" data-testid=${one.testid}>
            <span class="most">${one.say(top)}</span>
            <svg viewBox="0 0 ${width} ${height}" preserveAspectRatio="none" aria-hidden="true">
              ${[0, 0.5, 1].map((part) => svg`<line class="grid" x1="0" x2=${width} y1=${part * height} y2=${part * height}></line>`)}
              ${one.lines.map((line) => svg`<path class=${line.dashed ? "dashed" : "solid"} d=${path(one.times, line.values, top)}></path>`)}
            </svg>
          </div>
          <p class="times"><span>${clock(one.times[0]!)}</span><span>${clock(one.times.at(-1)!)}</span></p>`
      : html`<p class="muted small" data-testid=${one.testid}>The first round of answers brings the first measurement.</p>`}
  </figure>`;
}
