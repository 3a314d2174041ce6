import { html, nothing } from "lit";
import { repeat } from "lit/directives/repeat.js";
import { openDevice } from "../dialogs/device";
import type { Answer } from "../engine.gen";
import { ms } from "../format";
import { answerState, status } from "../words";
import { deviceName } from "./job";

export interface Row {
  device: string;
  answer: Answer | undefined;
  senderId: string;
}

const done = (answer: Answer | undefined): answer is Answer => answer?.state === "verified";

/** The roll call as a table. */
export function answers(rows: Row[]) {
  return html`<div class="scroll"><table data-testid="answers">
    <caption class="sr">Roll call</caption>
    <thead><tr><th>Device</th><th>Result</th><th>Light</th><th class="end">Round trip</th><th class="end">Sender ID</th><th>Unicast</th></tr></thead>
    <tbody>${repeat(rows, (row) => row.device, answerRow)}</tbody>
  </table></div>`;
}

function answerRow({ device, answer, senderId }: Row) {
  const words = answerState(answer?.state);
  const problem = answer?.problem;
  return html`<tr class=${words.tone === "fail" ? "fail" : ""} data-testid="answer-row" data-device=${device} data-state=${answer?.state ?? "none"}>
    <td><button class="link" data-testid="answer-open" @click=${() => openDevice(device)}><strong>${deviceName(device)}</strong></button></td>
    <td>${status(words, "answer-state")}${problem ? html`<span class="next">${problem.text}</span>` : nothing}</td>
    <td class="light">${done(answer) ? (answer.on ? `on, ${answer.level} %` : "off") : "–"}</td>
    <td class="end" data-testid="answer-rtt">${done(answer) ? ms(answer.rtt) : "–"}</td>
    <td class="end id" data-testid="answer-sender">${answer?.senderId || senderId || "–"}</td>
    <td data-testid="answer-unicast">${answer?.unicast ? "yes" : "no"}</td>
  </tr>`;
}
