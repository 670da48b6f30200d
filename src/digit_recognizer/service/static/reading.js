// A reading of the service, with the user's corrections.

import { bytesOf } from "./service.js";

export const SURE = 0.9; // confidence; characters below it are orange, numbers below it have a question mark
const CHARACTERS = "0123456789.,-/:+%"; // of the probabilities of a character, in this order
const SAME_BOX_IOU = 0.7; // a correction holds if the box overlaps at least as much (intersection over union)
const SAME_IMAGE_DIFFERENCE = 12; // and the pixels differ by less than this on average
const NUMBER_GAP_FRACTION = 0.9; // of the line's height; a wider gap separates two numbers
const SAME_LINE_FRACTION = 0.5; // of the lower mark's height; marks of one line overlap at least as much

/** Return a number with its noun: `count(2, "mark")` is "2 marks". */
export function count(number, word) {
  return `${number} ${word}${number === 1 ? "" : "s"}`;
}

/** Return a fraction as a whole percentage; 100% and 0% only if nothing is missing. */
export function percent(fraction) {
  const whole = Math.round(100 * fraction);
  if (whole === 100 && fraction < 0.9995) return "99%";
  return whole === 0 && fraction > 0.0005 ? "<1%" : `${whole}%`;
}

/** Return what a mark may be, most likely first: {text, probability}; they sum to P(it is a character). */
export function ranked(mark) {
  return mark.probabilities
    .map((probability, place) => ({ text: CHARACTERS[place], probability: probability * mark.is_character }))
    .sort((one, other) => other.probability - one.probability);
}

/** Whether a text is one digit. */
export function isDigit(text) {
  return /^[0-9]$/.test(text);
}

/** Return what the user typed as the text of a number, without spaces; null if it cannot be one. */
export function numberText(typed) {
  const text = typed.replace(/\s/g, "").replace("−", "-");
  return text.length > 0 && text.length <= 100 && [...text].every((each) => CHARACTERS.includes(each)) ? text : null;
}

export class Reading {
  /**
   * `corrections`, {box, image, label, id}, of an earlier reading apply to marks that have not changed, and its
   * `numberCorrections`, {box, readAs, text, id}, to numbers that have not.
   */
  constructor(answer, { corrections = [], numberCorrections = [] } = {}) {
    this.answer = answer;
    this.numbers = answer.lines.flatMap((line, row) => line.numbers.map((number) => ({ ...number, row, correction: null })));
    this.marks = this.numbers.flatMap((number) =>
      number.characters.map((character) => ({ ...character, number, row: number.row, isRejected: false })),
    );
    for (const { guess, reason } of answer.rejected.filter(({ guess }) => guess)) {
      this.marks.push({ ...asCharacter(guess), reason, number: null, row: rowOf(guess.box, this.marks, answer.height), isRejected: true });
    }
    this.marks.sort((one, other) => one.row - other.row || middle(one) - middle(other));
    this.specks = answer.rejected
      .filter(({ guess }) => !guess)
      .map(({ reason, ...box }) => ({ box, reason, isRejected: true, correction: null }));
    for (const mark of this.marks) {
      mark.correction = corrections.find((each) => isSame(each, mark)) ?? null;
    }
    for (const number of this.numbers) {
      number.correction = numberCorrections.find((each) => each.readAs === number.text && overlap(each.box, number.box) > SAME_BOX_IOU) ?? null;
    }
    this.waiting = corrections.filter((each) => !this.marks.some(({ correction }) => correction === each));
    this.waitingNumbers = numberCorrections.filter((each) => !this.numbers.some(({ correction }) => correction === each));
  }

  /** Marks read as characters or corrected to digits, in reading order. */
  get characters() {
    return this.marks.filter((mark) => !mark.isRejected || labelOf(mark) !== null);
  }

  /** Those that are no separators. */
  get digits() {
    return this.characters.filter((mark) => labelOf(mark) === null || isDigit(labelOf(mark)));
  }

  /** Marks that are not read, and specks, of which only the box and the reason are known. */
  get rejected() {
    return [...this.marks.filter((mark) => mark.isRejected && labelOf(mark) === null), ...this.specks];
  }

  /** All corrections, also of marks that are missing now, such as one that is being written over. */
  get corrections() {
    return [...this.marks.flatMap(({ correction }) => correction ?? []), ...this.waiting];
  }

  get numberCorrections() {
    return [...this.numbers.flatMap(({ correction }) => correction ?? []), ...this.waitingNumbers];
  }

  /** The corrected text: spaces between the numbers of a line, newlines between lines. */
  get text() {
    return this.lines.map((line) => line.map(({ text }) => text).join(" ")).join("\n");
  }

  /** Lines of numbers as they are shown, with the user's corrections: see `group`. */
  get lines() {
    const valid = this.characters.filter((mark) => labelOf(mark) !== null || mark.number?.correction);
    return split(valid, (one, other) => one.row !== other.row).map((line) => numbersOf(line).map(group));
  }

  /** Return the number that a mark belongs to; null for a rejected mark. */
  groupOf(mark) {
    return this.lines.flat().find(({ marks }) => marks.includes(mark)) ?? null;
  }

  /** The table that `digits read --csv` writes, without the picture's name. */
  get csv() {
    const quoted = (text) => (text.includes(",") ? `"${text}"` : text);
    const rows = this.lines.flatMap((line, row) => line.map((number) => [row + 1, quoted(number.text), ...place(number)]));
    return [["line", "text", "confidence", "x", "y", "width", "height"], ...rows].map((row) => `${row.join(",")}\n`).join("");
  }

  get state() {
    if (this.characters.length) return "digits";
    return this.answer.blank ? "blank" : "rejected";
  }

  /** The reading as a sentence for screen readers. */
  get spoken() {
    if (this.state === "blank") return "Blank.";
    if (this.state === "rejected") return "Not a digit.";
    const each = this.lines.flat().map(({ text, confidence, isSure }) => `${text}, ${percent(confidence)}${isSure ? "" : ", not sure"}`);
    const rest = this.rejected.length ? ` ${count(this.rejected.length, "mark")} not read.` : "";
    return `Read: ${this.text.replaceAll("\n", ", then ") || "no digit"}. ${each.join("; ")}.${rest}`;
  }

  /** Return the mark at a point of the picture, or null; the smallest if there are several. */
  at(x, y, margin = 0) {
    const inside = this.marks.filter(
      ({ box }) =>
        x >= box.x - margin && x <= box.x + box.width + margin && y >= box.y - margin && y <= box.y + box.height + margin,
    );
    return inside.sort((one, other) => area(one.box) - area(other.box))[0] ?? null;
  }

  /** Return the mark, but no separator, whose box is nearest to a point. */
  nearest(x, y) {
    const distance = ({ box }) =>
      Math.hypot(Math.max(box.x - x, 0, x - box.x - box.width), Math.max(box.y - y, 0, y - box.y - box.height));
    const marks = this.marks.filter((mark) => mark.isRejected || isDigit(mark.text));
    return marks.reduce((best, mark) => (best && distance(best) <= distance(mark) ? best : mark), null);
  }

  /** Return the mark in the place of one of an earlier reading. */
  sameAs(mark) {
    const [best] = this.marks
      .map((each) => ({ each, iou: mark ? overlap(each.box, mark.box) : 0 }))
      .sort((one, other) => other.iou - one.iou);
    return best?.iou > 0.3 ? best.each : null;
  }
}

/** What a mark was read as: a character, or null for a mark that was not read. */
export function readAs(mark) {
  return mark.isRejected ? null : mark.text;
}

/** The label of a mark: the user's correction, else what it was read as. */
export function labelOf(mark) {
  return mark.correction ? mark.correction.label : readAs(mark);
}

export function confidenceOf(mark) {
  return mark.correction || mark.number?.correction ? 1 : mark.confidence;
}

/**
 * Return the number that neighbouring marks are: {marks, number, text, confidence, isSure, box}.
 *
 * `number` is the service's, null if the user's corrections of marks have made another one of it.
 */
function group(marks) {
  const { number } = marks[0];
  const box = around(marks.map((mark) => mark.box));
  if (number?.correction) return { marks, number, text: number.correction.text, confidence: 1, isSure: true, box };
  const text = marks.map(labelOf).join("");
  if (number !== null && text === number.text && marks.every((mark) => mark.number === number)) {
    return { marks, number, text, confidence: number.confidence, isSure: number.sure, box };
  }
  const confidence = marks.reduce((product, mark) => product * confidenceOf(mark), 1);
  const whole = marks.every((mark) => mark.number === number) ? number : null;
  return { marks, number: whole, text, confidence, isSure: confidence >= SURE, box };
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
function numbersOf(line) {
  if (!line.some(({ isRejected }) => isRejected)) return split(line, (one, other) => one.number !== other.number);
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

/** Return the digit that a rejected mark resembles in the form of a character. */
function asCharacter({ digit, is_digit, probabilities, ...rest }) {
  const others = new Array(CHARACTERS.length - probabilities.length).fill(0);
  return { ...rest, text: String(digit), is_character: is_digit, probabilities: [...probabilities, ...others] };
}

function middle({ box }) {
  return box.x + box.width / 2;
}

function around(boxes) {
  const [x, y] = [Math.min(...boxes.map((box) => box.x)), Math.min(...boxes.map((box) => box.y))];
  const right = Math.max(...boxes.map((box) => box.x + box.width));
  const bottom = Math.max(...boxes.map((box) => box.y + box.height));
  return { x, y, width: right - x, height: bottom - y };
}

function place({ confidence, box }) {
  return [confidence.toFixed(4), box.x, box.y, box.width, box.height];
}

function isSame(one, other) {
  return overlap(one.box, other.box) > SAME_BOX_IOU && difference(one.image, other.image) < SAME_IMAGE_DIFFERENCE;
}

/** Return by how much two images, in base64, differ on average; 0 if one is unknown. */
function difference(one, other) {
  if (!one || !other) return 0;
  const [pixels, others] = [bytesOf(one), bytesOf(other)];
  return pixels.reduce((sum, level, index) => sum + Math.abs(level - others[index]), 0) / pixels.length;
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
