// What the service read, with what the user put right.

import { bytesOf } from "./service.js";

export const SURE = 0.9; // confidence from which a digit is shown as read without doubt
const SAME_BOX = 0.85; // share of two boxes' common area, and
const SAME_IMAGE = 6; // mean difference of two images' levels, up to which both are of one digit
const SPACE = 0.9; // of a line's height: numbers are as far apart
const ALONGSIDE = 0.5; // of the lower of two marks that must be common to both heights: they are in one line

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
    this.marks = answer.lines.flatMap((line, row) =>
      line.numbers.flatMap((number, column) => number.digits.map((digit) => ({ ...digit, row, column, isRejected: false }))),
    );
    for (const { guess } of answer.rejected.filter(({ guess }) => guess)) {
      this.marks.push({ ...guess, row: rowOf(guess.box, this.marks, answer.height), isRejected: true });
    }
    this.marks.sort((one, other) => one.row - other.row || middle(one) - middle(other));
    this.specks = answer.rejected.filter(({ guess }) => !guess).map((box) => ({ box, isRejected: true, correction: null }));
    for (const mark of this.marks) {
      mark.correction = corrections.find((each) => isSame(each, mark)) ?? null;
    }
    this.waiting = corrections.filter((each) => !this.marks.some(({ correction }) => correction === each));
  }

  /** What was read as a digit, and what the user says is one, in reading order. */
  get digits() {
    return this.marks.filter((mark) => !mark.isRejected || labelOf(mark) !== null);
  }

  /** What is no digit, and of which the user does not say otherwise: marks, and what has nothing but a box. */
  get rejected() {
    return [...this.marks.filter((mark) => mark.isRejected && labelOf(mark) === null), ...this.specks];
  }

  /** All corrections, also those of marks that are not there now, such as while one is written over. */
  get corrections() {
    return [...this.marks.flatMap(({ correction }) => correction ?? []), ...this.waiting];
  }

  /** Text as the service gives it, corrected: numbers of a line parted by spaces, lines by newlines. */
  get text() {
    return this.lines.map((line) => line.map(({ text }) => text).join(" ")).join("\n");
  }

  /** Lines of numbers: {digits, text} each. */
  get lines() {
    const valid = this.digits.filter((digit) => labelOf(digit) !== null);
    const lines = parts(valid, (one, other) => one.row !== other.row);
    return lines.map((line) => numbers(line).map((digits) => ({ digits, text: digits.map(labelOf).join("") })));
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

  /** Find the mark that a point of the picture is in, or null; the smallest where several are. */
  at(x, y, margin = 0) {
    const inside = this.marks.filter(
      ({ box }) =>
        x >= box.x - margin && x <= box.x + box.width + margin && y >= box.y - margin && y <= box.y + box.height + margin,
    );
    return inside.sort((one, other) => area(one.box) - area(other.box))[0] ?? null;
  }

  /** Find the mark whose box is nearest to a point. */
  nearest(x, y) {
    const distance = ({ box }) =>
      Math.hypot(Math.max(box.x - x, 0, x - box.x - box.width), Math.max(box.y - y, 0, y - box.y - box.height));
    return this.marks.reduce((best, mark) => (best && distance(best) <= distance(mark) ? best : mark), null);
  }

  /** Find the mark that stands where one of an earlier reading stood. */
  sameAs(mark) {
    const [best] = this.marks
      .map((each) => ({ each, share: mark ? overlap(each.box, mark.box) : 0 }))
      .sort((one, other) => other.share - one.share);
    return best?.share > 0.3 ? best.each : null;
  }
}

/** What a mark was read as: 0 to 9, or null for no digit. */
export function readAs(mark) {
  return mark.isRejected ? null : mark.digit;
}

/** What a mark counts as: what it was read as, unless the user said otherwise. */
export function labelOf(mark) {
  return mark.correction ? mark.correction.label : readAs(mark);
}

export function confidenceOf(digit) {
  return digit.correction ? 1 : digit.confidence;
}

/** Part an array between any two that a function parts. */
function parts(marks, isParted) {
  return marks.reduce((found, mark) => {
    const last = found.at(-1);
    if (last && !isParted(last.at(-1), mark)) last.push(mark);
    else found.push([mark]);
    return found;
  }, []);
}

/** Part a line into numbers: as the service did, or by the spaces where the user put a digit into it. */
function numbers(line) {
  if (!line.some(({ isRejected }) => isRejected)) return parts(line, (one, other) => one.column !== other.column);
  const space = SPACE * Math.max(...line.map(({ box }) => box.height));
  return parts(line, (one, other) => other.box.x - one.box.x - one.box.width > space);
}

/** Say which line a box would be in; one between those of the marks where it is in none. */
function rowOf(box, marks, pageHeight) {
  const common = (mark) => Math.min(box.y + box.height, mark.box.y + mark.box.height) - Math.max(box.y, mark.box.y);
  const beside = marks.find((mark) => common(mark) > ALONGSIDE * Math.min(box.height, mark.box.height));
  if (beside) return beside.row;
  const above = marks.filter((mark) => mark.box.y < box.y).map(({ row }) => Math.floor(row));
  return Math.max(...above, -1) + (box.y + 1) / (pageHeight + 1);
}

function middle({ box }) {
  return box.x + box.width / 2;
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
