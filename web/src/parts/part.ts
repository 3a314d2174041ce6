import { LitElement } from "lit";

/** A part of a view: draws its properties, into the document itself. */
export class Part extends LitElement {
  protected override createRenderRoot(): HTMLElement {
    return this;
  }
}
