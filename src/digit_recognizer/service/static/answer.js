// The last step of the story: the hidden values, the scores and the answer.

import { levelsOf, showLevels } from "./maps.js";
import { percent } from "./reading.js";
import { figure } from "./terms.js";
import { element, fillBar, makeBar } from "./view.js";

const HIDDEN_COLUMNS = 16;

export class AnswerStep {
  constructor() {
    this.list = document.getElementById("probabilities");
    this.hidden = document.getElementById("hidden");
    this.words = document.getElementById("hidden-words");
    this.isDigit = document.getElementById("is-digit");
    this.digit = null; // whose score is shown; null: the most probable one
    for (let digit = 0; digit < 10; digit++) {
      const [item, choice] = [element("li"), element("button", "answer")];
      choice.type = "button";
      choice.append(makeBar());
      choice.addEventListener("click", () => {
        this.digit = digit;
        this.showScore();
      });
      item.append(choice);
      this.list.append(item);
    }
  }

  show(values) {
    this.values = values;
    this.digit = null;
    const { probabilities, is_digit: is } = values.explained;
    this.best = probabilities.indexOf(Math.max(...probabilities));
    [...this.list.children].forEach((item, digit) => {
      item.classList.toggle("best", digit === this.best);
      fillBar(item.firstElementChild.firstElementChild, digit, probabilities[digit]);
    });
    this.isDigit.textContent = `${is === null ? "" : `Probability that it is a digit at all: ${percent(is)}. `}These values are for this image alone; the reading above also considers what is around it.`;
    this.showScore();
  }

  /** Show what speaks for a digit and what against it. */
  showScore() {
    const digit = this.digit ?? this.best;
    [...this.list.children].forEach((item, each) => item.firstElementChild.setAttribute("aria-pressed", each === digit));
    const score = this.values.score(digit);
    this.hidden.parentElement.hidden = score === null;
    if (score === null) return;
    const columns = Math.min(score.each.length, HIDDEN_COLUMNS);
    const rows = Math.ceil(score.each.length / columns);
    const most = score.each.reduce((best, value) => Math.max(best, Math.abs(value)), 0);
    const levels = new Uint8ClampedArray(rows * columns).fill(128);
    levels.set(levelsOf(score.each, most, "weight"));
    showLevels(this.hidden, levels, columns, rows, "weight");
    const sum = (kept) => score.each.reduce((total, value) => (kept(value) ? total + value : total), 0);
    const [up, down] = [sum((value) => value > 0), -sum((value) => value < 0)];
    this.hidden.setAttribute("aria-label", `${score.each.length} values, and what each adds to the score of the ${digit}`);
    this.words.textContent =
      `The ${score.each.length} values, for the ${digit}: ${figure(up)} speak for it (orange), ${figure(down)} against it (blue). ` +
      `With a bias of ${figure(score.bias)}, its score is ${figure(score.total)}.`;
  }

  redraw() {
    if (this.values) this.showScore();
  }
}
