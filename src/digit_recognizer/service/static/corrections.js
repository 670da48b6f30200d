// The user's corrections: shown at once, stored by the service only if the user agrees.

import { ask } from "./backend.js";
import { isDigit, labelOf, numberText, percent, readAs } from "./reading.js";
import { alternativesOf, button, element } from "./view.js";

const CONSENT_KEY = "digits-keep-corrections"; // in localStorage
const ANSWERS = [..."0123456789", null]; // null: not a digit
const JSON_TYPE = { "Content-Type": "application/json" };

export class Corrections {
  /**
   * `changed` is called after a correction, `failed(error)` if the service did not store it; `pictureOf(box)`
   * returns the part of the picture with a number, a PNG in base64, or null.
   */
  constructor(changed, failed, pictureOf) {
    Object.assign(this, { changed, failed, pictureOf, mark: null, number: null, isOffered: false });
    const at = (id) => document.getElementById(id);
    [this.box, this.title, this.answers, this.status] = ["correction", "correction-title", "answers", "corrected"].map(at);
    [this.form, this.numberTitle, this.field, this.others] = ["number-form", "number-title", "number-field", "alternatives"].map(at);
    this.keep = at("keep");
    this.keep.checked = localStorage.getItem(CONSENT_KEY) === "yes";
    this.keep.addEventListener("change", () => localStorage.setItem(CONSENT_KEY, this.keep.checked ? "yes" : "no"));
    for (const label of ANSWERS) this.answers.append(this.button(label));
    this.form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.submit();
    });
    this.field.addEventListener("input", () => this.field.setCustomValidity(""));
  }

  /** Show the switch, if the service stores corrections. */
  offer(isOffered) {
    this.isOffered = isOffered;
    document.getElementById("keeping").hidden = !isOffered;
    document.getElementById("not-keeping").hidden = isOffered;
  }

  button(label) {
    const made = button(label === null ? "none" : "", label ?? "not a digit");
    made.addEventListener("click", () => this.correct(label));
    return made;
  }

  /** Show what a mark, and the number that it belongs to, may be corrected to. */
  show(mark, group) {
    this.box.hidden = this.status.hidden = mark === null;
    const number = group?.number ?? null;
    this.showNumber(number, group, number !== this.number);
    Object.assign(this, { mark, number });
    if (mark === null) return;
    const isWhole = Boolean(number?.correction);
    this.title.hidden = this.answers.hidden = isWhole;
    this.title.textContent = mark.isRejected ? `Not read: ${mark.reason}. Is it a digit after all?` : `Is the ${mark.text} wrong?`;
    [...this.answers.children].forEach((each, place) => {
      each.setAttribute("aria-pressed", ANSWERS[place] === labelOf(mark));
    });
    this.showStatus(isWhole ? number : mark);
  }

  /** Show the answers at once for a mark that was not read and that the user selected. */
  reveal(mark) {
    if (mark.isRejected) this.box.open = true;
  }

  showNumber(number, group, isAnother) {
    this.form.hidden = number === null;
    if (number === null) return;
    this.numberTitle.textContent = number.correction ? `The number was read as ${number.text}` : `Is the number ${group.text} wrong?`;
    if (isAnother || document.activeElement !== this.field) {
      this.field.value = group.text;
      this.field.setCustomValidity("");
    }
    const others = number.correction ? [] : alternativesOf(number).filter(({ text }) => text !== group.text);
    this.others.replaceChildren(
      ...others.map(({ text, probability }) => {
        const made = button("quiet", text);
        made.append(element("span", "", percent(probability)));
        made.addEventListener("click", () => this.correctNumber(text));
        return made;
      }),
    );
    this.others.hidden = others.length === 0;
  }

  showStatus(corrected) {
    const { correction } = corrected;
    if (correction === this.shown) return;
    this.shown = correction;
    this.status.replaceChildren();
    if (correction === null) return;
    const name = correction.text ?? (correction.label === null ? "“not a digit”" : correction.label);
    const isKept = correction.id !== null && correction.id !== undefined;
    const why = correction.isUnseen ? ": the browser does not show the picture" : this.isOffered ? ": the switch is off" : "";
    const undo = button("quiet", "Undo correction");
    undo.addEventListener("click", () => (correction.text === undefined ? this.correct(readAs(this.mark)) : this.correctNumber(this.number.text)));
    this.status.append(`Corrected to ${name}${isKept ? " and kept" : ` on this page${this.isOffered ? " only" : ""}${why}`}. `, undo);
  }

  /** Correct the selected mark; what it was read as undoes the correction. */
  async correct(label) {
    const { mark } = this;
    if (mark === null || mark.number?.correction || label === labelOf(mark)) return;
    const before = mark.correction;
    mark.correction = label === readAs(mark) ? null : { label, box: mark.box, image: mark.image, id: null };
    this.changed();
    try {
      if (before?.id != null) await ask(`/v1/corrections/${before.id}`, { method: "DELETE" });
      if (mark.correction && this.isOffered && this.keep.checked) await this.store(mark, mark.correction);
    } catch (error) {
      this.failed(error);
    }
  }

  async store(mark, correction) {
    const asDigit = (text) => (text !== null && isDigit(text) ? Number(text) : null);
    const [label, before] = [correction.label, readAs(mark)].map(asDigit);
    if (!mark.image || (label === null && before === null)) return; // a separator that is none teaches no digit
    const body = JSON.stringify({ image: mark.image, label, read_as: before });
    const { id } = await ask("/v1/corrections", { method: "POST", headers: JSON_TYPE, body });
    this.stored(correction, id);
  }

  submit() {
    const text = numberText(this.field.value);
    if (text === null) {
      this.field.setCustomValidity("Write a number, with digits and . , - / : + % only.");
      this.field.reportValidity();
      return;
    }
    this.correctNumber(text);
  }

  /** Correct the selected number as a whole; what it was read as undoes the correction. */
  async correctNumber(text) {
    const { number } = this;
    if (number === null || text === (number.correction?.text ?? number.text)) return;
    const before = number.correction;
    number.correction = text === number.text ? null : { text, readAs: number.text, box: number.box, id: null };
    this.changed();
    try {
      if (before?.id != null) await ask(`/v1/number-corrections/${before.id}`, { method: "DELETE" });
      if (number.correction && this.isOffered && this.keep.checked) await this.storeNumber(number, number.correction);
    } catch (error) {
      this.failed(error);
    }
  }

  async storeNumber(number, correction) {
    const picture = this.pictureOf(number.box);
    if (picture === null) {
      correction.isUnseen = true;
      return this.stored(correction, null);
    }
    const images = number.characters.map(({ image }) => image);
    const body = JSON.stringify({
      picture,
      text: correction.text,
      read_as: number.text,
      images: images.every(Boolean) ? images : null,
    });
    const { id } = await ask("/v1/number-corrections", { method: "POST", headers: JSON_TYPE, body });
    this.stored(correction, id);
  }

  stored(correction, id) {
    correction.id = id;
    this.shown = undefined;
    this.changed();
  }
}
