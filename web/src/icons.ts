import { html, type TemplateResult } from "lit";

// 24 x 24, stroked, drawn for this page.
const paths = {
  bulb: "M9 18h6M10 21h4M12 3a6 6 0 0 0-3.6 10.8c.7.6 1.1 1.4 1.1 2.2h5c0-.8.4-1.6 1.1-2.2A6 6 0 0 0 12 3z",
  ok: "m5 12.5 4.5 4.5L19 7.5",
  fail: "M12 8v5M12 16.5v.01M21 12a9 9 0 1 1-18 0 9 9 0 0 1 18 0z",
  wait: "M12 7v5l3 2M21 12a9 9 0 1 1-18 0 9 9 0 0 1 18 0z",
  doubt: "M9.5 9.5a2.5 2.5 0 1 1 3.6 2.2c-.7.4-1.1 1-1.1 1.8M12 16.5v.01M21 12a9 9 0 1 1-18 0 9 9 0 0 1 18 0z",
  warn: "M12 4 2.8 20h18.4zM12 10v4M12 17v.01",
  stop: "M6 6l12 12M21 12a9 9 0 1 1-18 0 9 9 0 0 1 18 0z",
  list: "M8 6h12M8 12h12M8 18h12M4 6h.01M4 12h.01M4 18h.01",
  group: "M10 8a3 3 0 1 1-6 0 3 3 0 0 1 6 0zM20 8a3 3 0 1 1-6 0 3 3 0 0 1 6 0zM15 17a3 3 0 1 1-6 0 3 3 0 0 1 6 0z",
  job: "M4 12a8 8 0 1 1 3 6.2M4 12V7m0 5h5",
  log: "M6 3h9l4 4v14H6zM9 12h7M9 16h7",
  site: "M3 21V9l9-6 9 6v12h-6v-6H9v6z",
  call: "M4 10v4M8 7v10M12 4v16M16 7v10M20 10v4",
  key: "M12 15a4 4 0 1 1-8 0 4 4 0 0 1 8 0zM11 12l8-8m-3 3 3 3",
  upload: "M12 16V4m-5 5 5-5 5 5M4 20h16",
  download: "M12 4v12m-5-5 5 5 5-5M4 20h16",
  radar: "M12 12l6-6M20.5 9A9 9 0 1 1 15 3.5M16.5 10.5a5 5 0 1 1-3-3",
  blink: "M12 2v3M12 19v3M2 12h3M19 12h3M5 5l2 2M17 17l2 2M5 19l2-2M17 7l2-2M15 12a3 3 0 1 1-6 0 3 3 0 0 1 6 0z",
  copy: "M9 9h11v11H9zM5 15H4V4h11v1",
  close: "M6 6l12 12M18 6 6 18",
  info: "M12 11v5M12 7.5v.01M21 12a9 9 0 1 1-18 0 9 9 0 0 1 18 0z",
  sliders: "M4 8h8M18 8h2M18 8a3 3 0 1 1-6 0 3 3 0 0 1 6 0zM4 16h2M12 16h8M12 16a3 3 0 1 1-6 0 3 3 0 0 1 6 0z",
  lock: "M6 11h12v10H6zM8.5 11V7.5a3.5 3.5 0 0 1 7 0V11",
  offline: "M3 3l18 18M5 12.5a10 10 0 0 1 4-2.4M19 12.5a10 10 0 0 0-5.5-2.7M8.5 16a5 5 0 0 1 6 -.5M12 19.5v.01M2 9a15 15 0 0 1 4.3-2.6M22 9A15 15 0 0 0 11 5.1",
  tabs: "M3 8h14v12H3zM7 8V4h14v12h-4",
  shield: "M12 3 4.5 6v6c0 4.5 3.2 7.6 7.5 9 4.3-1.4 7.5-4.5 7.5-9V6zM8.5 12l2.5 2.5 4.5-5",
  plus: "M12 5v14M5 12h14",
  minus: "M5 12h14",
  next: "M5 12h14m-6-6 6 6-6 6",
  open: "M9 5l7 7-7 7",
  people: "M12 8a3.5 3.5 0 1 1-7 0 3.5 3.5 0 0 1 7 0zM2 20c.5-3.6 3-5.5 6.5-5.5s6 1.9 6.5 5.5M16 4.8a3.5 3.5 0 0 1 0 6.400M17.5 14.8c2.5.6 4 2.3 4.5 5.2",
  pause: "M8 5v14M16 5v14",
  play: "M7 4l12 8-12 8z",
  trash: "M4 7h16M9 7V4h6v3M6 7l1 13h10l1-13",
  edit: "M4 20h4L19 9l-4-4L4 16z",
} as const;

export type Icon = keyof typeof paths;

/** An icon next to a word; it says nothing to a screen reader. */
export function icon(name: Icon): TemplateResult {
  return html`<svg viewBox="0 0 24 24" aria-hidden="true" focusable="false"><path d=${paths[name]} /></svg>`;
}
