// What the service read, with what the user put right.

import { bytesOf } from "./service.js";

export const SURE = 0.9; // confidence from which a digit is shown as read without doubt
const SAME_BOX = 0.85; // share of two boxes' common area, and
const SAME_IMAGE = 6; // mean difference of two images' levels, up to which both are of one digit

/** Count the ways in which words go with a number: `count(2, "mark")` is "2 marks". */
export function count(number, word) {
  return `${number} ${word}${number === 1 ? "" : "s"}`;
}

/** Give a share as whole percents, never 100 % or 0 % where something is left. */
export function percent(share) {
  const whole = Math.round(100 * share);
  if (whole === 100 && share < 0.9995) return "99 %";
  return whole === 0 && share > 0.0005 ? "<1 %" : `${whole} %`;
}

/** The ten chances of one digit, likeliest first: {digit, share} of all that the mark may be. */
export function chances(digit) {
  return digit.probabilities
    .map((probability, value) => ({ digit: value, share: probability * digit.is_digit }))
    .sort((one, other) => other.share - one.share);
}

export class Reading {
  /** `corrections` are {box, image, label, id} of readings before: they hold where the same digit still stands. */
  constructor(answer, corrections = []) {
    this.answer = answer;
    this.rejected = answer.rejected;
    this.digits = answer.lines.flatMap((line, row) =>
      line.numbers.flatMap((number, column) => number.digits.map((digit) => ({ ...digit, row, column }))),
    );
    for (const digit of this.digits) {
      digit.correction = corrections.find((each) => isSame(each, digit)) ?? null;
    }
  }

  get corrections() {
    return this.digits.flatMap(({ correction }) => correction ?? []);
  }

  /** Text as the service gives it, corrected: numbers of a line parted by spaces, lines by newlines. */
  get text() {
    return this.lines.map((line) => line.map(({ text }) => text).join(" ")).join("\n");
  }

  get lines() {
    return this.answer.lines
      .map((line, row) => line.numbers.map((_, column) => this.number(row, column)).filter(({ text }) => text))
      .filter((line) => line.length);
  }

  number(row, column) {
    const digits = this.digits.filter((digit) => digit.row === row && digit.column === column);
    const valid = digits.filter((digit) => labelOf(digit) !== null);
    return { row, digits: valid, text: valid.map(labelOf).join("") };
  }

  /** Give a table as `digits read --csv` writes it, without the picture's name. */
  get csv() {
    const rows = this.lines.flatMap((line, row) => line.map((number) => [row + 1, number.text, ...place(number.digits)]));
    return [["line", "text", "confidence", "x", "y", "width", "height"], ...rows].map((row) => `${row.join(",")}\n`).join("");
  }

  get state() {
    if (this.digits.length) return "digits";
    return this.rejected.length ? "rejected" : "blank";
  }

  /** Say the reading in a sentence, for those who hear it. */
  get spoken() {
    if (this.state === "blank") return "Blank: there is no ink.";
    if (this.state === "rejected") return "Not a digit.";
    const each = this.digits.map((digit) => `${labelOf(digit) ?? "no digit"}, ${percent(confidenceOf(digit))}`).join("; ");
    const rest = this.rejected.length ? ` ${count(this.rejected.length, "mark")} not read as digits.` : "";
    return `Read: ${this.text.replaceAll("\n", ", then ") || "no digit"}. ${each}.${rest}`;
  }

  /** Find the digit that a point of the picture is in, or null; the smallest where several are. */
  at(x, y, margin = 0) {
    const inside = this.digits.filter(
      ({ box }) =>
        x >= box.x - margin && x <= box.x + box.width + margin && y >= box.y - margin && y <= box.y + box.height + margin,
    );
    return inside.sort((one, other) => area(one.box) - area(other.box))[0] ?? null;
  }

  /** Find the digit whose box is nearest to a point. */
  nearest(x, y) {
    const distance = ({ box }) =>
      Math.hypot(Math.max(box.x - x, 0, x - box.x - box.width), Math.max(box.y - y, 0, y - box.y - box.height));
    return this.digits.reduce((best, digit) => (best && distance(best) <= distance(digit) ? best : digit), null);
  }

  /** Find the digit that stands where one of an earlier reading stood. */
  sameAs(digit) {
    const [best] = this.digits
      .map((each) => ({ each, share: digit ? overlap(each.box, digit.box) : 0 }))
      .sort((one, other) => other.share - one.share);
    return best?.share > 0.3 ? best.each : null;
  }
}

/** What a digit counts as: 0 to 9, or null if the user said that it is none. */
export function labelOf(digit) {
  return digit.correction ? digit.correction.label : digit.digit;
}

export function confidenceOf(digit) {
  return digit.correction ? 1 : digit.confidence;
}

function place(digits) {
  const left = Math.min(...digits.map(({ box }) => box.x));
  const top = Math.min(...digits.map(({ box }) => box.y));
  const right = Math.max(...digits.map(({ box }) => box.x + box.width));
  const bottom = Math.max(...digits.map(({ box }) => box.y + box.height));
  const confidence = digits.reduce((product, digit) => product * confidenceOf(digit), 1);
  return [confidence.toFixed(4), left, top, right - left, bottom - top];
}

function isSame(one, other) {
  return overlap(one.box, other.box) > SAME_BOX && difference(bytesOf(one.image), bytesOf(other.image)) < SAME_IMAGE;
}

function difference(one, other) {
  return one.reduce((sum, level, place) => sum + Math.abs(level - other[place]), 0) / one.length;
}

function area(box) {
  return box.width * box.height;
}

/** The share of two boxes' common area in the area of both. */
function overlap(one, other) {
  const width = Math.min(one.x + one.width, other.x + other.width) - Math.max(one.x, other.x);
  const height = Math.min(one.y + one.height, other.y + other.height) - Math.max(one.y, other.y);
  if (width <= 0 || height <= 0) return 0;
  return (width * height) / (area(one) + area(other) - width * height);
}
