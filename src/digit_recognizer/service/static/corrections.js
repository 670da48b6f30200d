// The user's corrections: shown at once, stored by the service only if the user agrees.

import { labelOf, readAs } from "./reading.js";
import { ask } from "./service.js";
import { element } from "./view.js";

const CONSENT_KEY = "digits-keep-corrections"; // in localStorage
const ANSWERS = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, null]; // null: not a digit

export class Corrections {
  /** `changed` is called after a correction, `failed(error)` if the service did not store it. */
  constructor(changed, failed) {
    Object.assign(this, { changed, failed, digit: null, isOffered: false });
    this.box = document.getElementById("correction");
    this.title = document.getElementById("correction-title");
    this.answers = document.getElementById("answers");
    this.status = document.getElementById("corrected");
    this.keep = document.getElementById("keep");
    this.keep.checked = localStorage.getItem(CONSENT_KEY) === "yes";
    this.keep.addEventListener("change", () => localStorage.setItem(CONSENT_KEY, this.keep.checked ? "yes" : "no"));
    for (const label of ANSWERS) this.answers.append(this.button(label));
  }

  /** Show the switch, if the service stores corrections. */
  offer(isOffered) {
    this.isOffered = isOffered;
    document.getElementById("keeping").hidden = !isOffered;
    document.getElementById("not-keeping").hidden = isOffered;
  }

  button(label) {
    const made = element("button", label === null ? "none" : "", label ?? "not a digit");
    made.type = "button";
    made.addEventListener("click", () => this.correct(label));
    return made;
  }

  show(digit) {
    this.box.hidden = digit === null;
    this.digit = digit;
    if (digit === null) return;
    this.title.textContent = digit.isRejected ? "Is it a digit after all?" : `Is the ${digit.digit} wrong?`;
    [...this.answers.children].forEach((button, place) => {
      button.setAttribute("aria-pressed", ANSWERS[place] === labelOf(digit));
    });
    this.showStatus(digit);
  }

  showStatus({ correction }) {
    if (correction === this.shown) return;
    this.shown = correction;
    this.status.replaceChildren();
    if (correction === null) return;
    const name = correction.label === null ? "“not a digit”" : correction.label;
    const where = correction.id !== null ? " and kept" : this.isOffered ? " on this page only: the switch is off" : " on this page";
    const undo = element("button", "quiet", "Undo correction");
    undo.type = "button";
    undo.addEventListener("click", () => this.correct(readAs(this.digit)));
    this.status.append(`Corrected to ${name}${where}. `, undo);
  }

  /** Correct the selected digit; what it was read as undoes the correction. */
  async correct(label) {
    const { digit } = this;
    if (digit === null || label === labelOf(digit)) return;
    const before = digit.correction;
    digit.correction = label === readAs(digit) ? null : { label, box: digit.box, image: digit.image, id: null };
    this.changed();
    try {
      if (before?.id != null) await ask(`/v1/corrections/${before.id}`, { method: "DELETE" });
      if (digit.correction && this.isOffered && this.keep.checked) await this.store(digit, digit.correction);
    } catch (error) {
      this.failed(error);
    }
  }

  async store(digit, correction) {
    const body = JSON.stringify({ image: digit.image, label: correction.label, read_as: readAs(digit) });
    const { id } = await ask("/v1/corrections", { method: "POST", headers: { "Content-Type": "application/json" }, body });
    correction.id = id;
    this.shown = undefined;
    this.changed();
  }
}
