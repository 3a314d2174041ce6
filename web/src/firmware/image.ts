// The file: where it is dropped, and what it turned out to be.

import { html, nothing } from "lit";
import type { FirmwareImage } from "../engine.gen";
import { minute } from "../format";
import { icon } from "../icons";
import { note } from "../parts/note";
import { status } from "../words";
import { brief, bytes } from "./units";
import { imageName, signature } from "./words";

export interface Pick {
  /** what is being done with the file */
  doing: string;
  wrong: { text: string; next: string } | undefined;
  kept: FirmwareImage[];
  take(file: File): void;
  use(image: FirmwareImage): void;
}

/** Where a file is dropped or chosen, and the images that were used before. */
export function pick(one: Pick) {
  const drop = (event: DragEvent) => {
    event.preventDefault();
    over(event, false);
    const file = event.dataTransfer?.files[0];
    if (file && !one.doing) {
      one.take(file);
    }
  };
  const choose = (event: Event) => {
    const input = event.target as HTMLInputElement;
    const file = input.files?.[0];
    input.value = "";
    if (file) {
      one.take(file);
    }
  };
  return html`<section class="card drop" aria-label="Firmware file" data-testid="firmware-drop" @dragover=${(event: DragEvent) => { event.preventDefault(); over(event, true); }} @dragleave=${(event: DragEvent) => over(event, false)} @drop=${drop}>
      ${icon("upload")}
      <h2>Drop the firmware file here</h2>
      <p>The file that the vendor signed, with the image in it. You see what it is and whom it fits before anything is sent.</p>
      <div role="status">${one.doing ? html`<span class="st busy" data-testid="firmware-reading">${icon("wait")}${one.doing}</span>` : nothing}</div>
      <div class="row">
        <input class="sr" type="file" id="firmware-file" data-testid="firmware-file" ?disabled=${!!one.doing} @change=${choose} />
        <label class="btn go" for="firmware-file">${icon("plus")}Choose a file</label>
      </div>
    </section>
    <div role="alert">${one.wrong ? note({ tone: "fail", icon: "fail", testid: "firmware-problem", title: one.wrong.text, text: one.wrong.next }) : nothing}</div>
    ${one.kept.length
      ? html`<section class="card" aria-labelledby="kept">
          <div class="sect"><h2 id="kept">Used before</h2></div>
          <ul class="kept">${one.kept.map((image) => html`<li>
            <button class="btn" data-testid="firmware-kept" data-digest=${image.digest} ?disabled=${!!one.doing} @click=${() => one.use(image)}><strong>${imageName(image)}</strong><span class="muted">${bytes(image.size)}, taken in ${minute(image.created)}</span>${icon("next")}</button>
          </li>`)}</ul>
        </section>`
      : nothing}`;
}

function over(event: Event, is: boolean): void {
  (event.currentTarget as HTMLElement).classList.toggle("over", is);
}

/** What the file is, and who signed it. */
export function imageCard(image: FirmwareImage, other: () => void) {
  return html`<section class="card image" aria-labelledby="image-name" data-testid="firmware-image" data-digest=${image.digest} data-signed=${image.signed}>
    <div class="sect">
      <h2 id="image-name" tabindex="-1">${imageName(image)}</h2>
      ${status(signature(image), "firmware-signer")}
      <button class="btn push" data-testid="firmware-other" @click=${other}>${icon("upload")}Another file</button>
    </div>
    <div class="body">
      ${image.problem ? note({ tone: "fail", icon: "fail", testid: "firmware-problem", title: image.problem.text, text: image.problem.next }) : nothing}
      ${image.description ? html`<p>${image.description}</p>` : nothing}
      <dl class="facts">
        <dt>Size</dt><dd>${bytes(image.size)}</dd>
        <dt>Signed by</dt><dd>${image.signer ? html`${image.signed ? "vendor key" : "key"} <span class="id">${image.signer}</span>` : "a key that no device here has shown yet"}${image.algorithm ? html` <span class="muted">(${image.algorithm})</span>` : nothing}</dd>
        <dt>Sequence</dt><dd>${image.sequence} <span class="muted">(a device refuses one below its own)</span></dd>
        <dt>For</dt><dd>class <span class="id" title=${image.class}>${brief(image.class)}</span> of vendor <span class="id" title=${image.vendor}>${brief(image.vendor)}</span></dd>
        <dt>Image</dt><dd class="id" title=${image.digest}>SHA-256 ${brief(image.digest)}</dd>
      </dl>
    </div>
  </section>`;
}
