// A reading of the service, with the user's corrections.

import { bytesOf } from "./service.js";

export const SURE = 0.9; // confidence; digits below it are shown in orange
const SAME_BOX_IOU = 0.85; // a correction holds if the box overlaps at least as much (intersection over union)
const SAME_IMAGE_DIFFERENCE = 6; // and the pixels differ by less than this on average
const NUMBER_GAP_FRACTION = 0.9; // of the line's height; a wider gap separates two numbers
const SAME_LINE_FRACTION = 0.5; // of the lower mark's height; marks of one line overlap at least as much

/** Return a number with its noun: `count(2, "mark")` is "2 marks". */
export function count(number, word) {
  return `${number} ${word}${number === 1 ? "" : "s"}`;
}

/** Return a fraction as a whole percentage; 100 % and 0 % only if nothing is missing. */
export function percent(fraction) {
  const whole = Math.round(100 * fraction);
  if (whole === 100 && fraction < 0.9995) return "99 %";
  return whole === 0 && fraction > 0.0005 ? "<1 %" : `${whole} %`;
}

/** Return the ten probabilities of a mark, most likely first: {digit, probability}; they sum to P(digit). */
export function ranked(digit) {
  return digit.probabilities
    .map((probability, value) => ({ digit: value, probability: probability * digit.is_digit }))
    .sort((one, other) => other.probability - one.probability);
}

export class Reading {
  /** `corrections`, {box, image, label, id}, of earlier readings apply to digits that have not changed. */
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

  /** Marks read as digits or corrected to digits, in reading order. */
  get digits() {
    return this.marks.filter((mark) => !mark.isRejected || labelOf(mark) !== null);
  }

  /** Marks that are not digits, and specks, of which only the box is known. */
  get rejected() {
    return [...this.marks.filter((mark) => mark.isRejected && labelOf(mark) === null), ...this.specks];
  }

  /** All corrections, also of marks that are missing now, such as one that is being written over. */
  get corrections() {
    return [...this.marks.flatMap(({ correction }) => correction ?? []), ...this.waiting];
  }

  /** The corrected text: spaces between the numbers of a line, newlines between lines. */
  get text() {
    return this.lines.map((line) => line.map(({ text }) => text).join(" ")).join("\n");
  }

  /** Lines of numbers: {digits, text} each. */
  get lines() {
    const valid = this.digits.filter((digit) => labelOf(digit) !== null);
    const lines = split(valid, (one, other) => one.row !== other.row);
    return lines.map((line) => numbers(line).map((digits) => ({ digits, text: digits.map(labelOf).join("") })));
  }

  /** The table that `digits read --csv` writes, without the picture's name. */
  get csv() {
    const rows = this.lines.flatMap((line, row) => line.map((number) => [row + 1, number.text, ...place(number.digits)]));
    return [["line", "text", "confidence", "x", "y", "width", "height"], ...rows].map((row) => `${row.join(",")}\n`).join("");
  }

  get state() {
    if (this.digits.length) return "digits";
    return this.rejected.length ? "rejected" : "blank";
  }

  /** The reading as a sentence for screen readers. */
  get spoken() {
    if (this.state === "blank") return "Blank.";
    if (this.state === "rejected") return "Not a digit.";
    const each = this.digits.map((digit) => `${labelOf(digit) ?? "not a digit"}, ${percent(confidenceOf(digit))}`).join("; ");
    const rest = this.rejected.length ? ` ${count(this.rejected.length, "mark")} not read as digits.` : "";
    return `Read: ${this.text.replaceAll("\n", ", then ") || "no digit"}. ${each}.${rest}`;
  }

  /** Return the mark at a point of the picture, or null; the smallest if there are several. */
  at(x, y, margin = 0) {
    const inside = this.marks.filter(
      ({ box }) =>
        x >= box.x - margin && x <= box.x + box.width + margin && y >= box.y - margin && y <= box.y + box.height + margin,
    );
    return inside.sort((one, other) => area(one.box) - area(other.box))[0] ?? null;
  }

  /** Return the mark whose box is nearest to a point. */
  nearest(x, y) {
    const distance = ({ box }) =>
      Math.hypot(Math.max(box.x - x, 0, x - box.x - box.width), Math.max(box.y - y, 0, y - box.y - box.height));
    return this.marks.reduce((best, mark) => (best && distance(best) <= distance(mark) ? best : mark), null);
  }

  /** Return the mark in the place of one of an earlier reading. */
  sameAs(mark) {
    const [best] = this.marks
      .map((each) => ({ each, iou: mark ? overlap(each.box, mark.box) : 0 }))
      .sort((one, other) => other.iou - one.iou);
    return best?.iou > 0.3 ? best.each : null;
  }
}

/** What a mark was read as: 0 to 9, or null for a non-digit. */
export function readAs(mark) {
  return mark.isRejected ? null : mark.digit;
}

/** The label of a mark: the user's correction, else what it was read as. */
export function labelOf(mark) {
  return mark.correction ? mark.correction.label : readAs(mark);
}

export function confidenceOf(digit) {
  return digit.correction ? 1 : digit.confidence;
}

/** Split an array between any two neighbours for which a function returns true. */
function split(marks, isBoundary) {
  return marks.reduce((found, mark) => {
    const last = found.at(-1);
    if (last && !isBoundary(last.at(-1), mark)) last.push(mark);
    else found.push([mark]);
    return found;
  }, []);
}

/** Split a line into numbers: as the service did, or by gaps if the user turned a rejected mark into a digit. */
function numbers(line) {
  if (!line.some(({ isRejected }) => isRejected)) return split(line, (one, other) => one.column !== other.column);
  const space = NUMBER_GAP_FRACTION * Math.max(...line.map(({ box }) => box.height));
  return split(line, (one, other) => other.box.x - one.box.x - one.box.width > space);
}

/** Return the line of a rejected mark; a fraction between two lines if it is in neither. */
function rowOf(box, marks, pageHeight) {
  const common = (mark) => Math.min(box.y + box.height, mark.box.y + mark.box.height) - Math.max(box.y, mark.box.y);
  const beside = marks.find((mark) => common(mark) > SAME_LINE_FRACTION * Math.min(box.height, mark.box.height));
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
  return overlap(one.box, other.box) > SAME_BOX_IOU && difference(bytesOf(one.image), bytesOf(other.image)) < SAME_IMAGE_DIFFERENCE;
}

function difference(one, other) {
  return one.reduce((sum, level, place) => sum + Math.abs(level - other[place]), 0) / one.length;
}

function area(box) {
  return box.width * box.height;
}

/** The intersection over union of two boxes. */
function overlap(one, other) {
  const width = Math.min(one.x + one.width, other.x + other.width) - Math.max(one.x, other.x);
  const height = Math.min(one.y + one.height, other.y + other.height) - Math.max(one.y, other.y);
  if (width <= 0 || height <= 0) return 0;
  return (width * height) / (area(one) + area(other) - width * height);
}
