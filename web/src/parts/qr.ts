import { generate } from "lean-qr";
import { html, svg, type TemplateResult } from "lit";

/** A QR code of a text, dark on light in every theme so that a camera reads it. */
export function qr(text: string, label: string): TemplateResult {
  const code = generate(text);
  const quiet = 4;
  const size = code.size + 2 * quiet;
  let path = "";
  for (let y = 0; y < code.size; y++) {
    for (let x = 0; x < code.size; x++) {
      if (code.get(x, y)) {
        path += `M${x + quiet} ${y + quiet}h1v1h-1z`;
      }
    }
  }
  return html`<svg class="qr" viewBox="0 0 ${size} ${size}" role="img" aria-label=${label} shape-rendering="crispEdges">
    ${svg`<rect width=${size} height=${size} fill="#fff"></rect><path d=${path} fill="#000"></path>`}
  </svg>`;
}
