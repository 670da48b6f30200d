// Group the characters of a page into text lines and numbers. In Python: recognition/grouping.py.

import { middleOf } from "./agreement.js";
import { DIGITS } from "./characters.js";
import { argmax, median, minBy, sum } from "./numeric.js";

const MIN_P_START = 0.5; // from it, a character starts a new number, if there is a space before it
const MIN_SPACE_EM = 0.8; // between the boxes of two numbers
const MAX_GAP_EM = 1.5; // between the boxes of two characters of a number
const MAX_RISE_EM = 0.6; // between the middles of neighbours in a line, once the page is level
const ROW_END = 3; // digits that say where a row ends

/** Return the numbers of each line, from top to bottom and from left to right, as places in the input. */
export function group(characters) {
  const slope = slopeOf(characters);
  const rows = [];
  for (const each of [...characters].sort((one, other) => middleOf(one)[0] - middleOf(other)[0])) {
    const near = rows.map((row) => ({ row, rise: riseOf(row, each, slope) })).filter(({ rise }) => rise < MAX_RISE_EM);
    if (near.length) minBy(near, ({ rise }) => rise).row.push(each);
    else rows.push([each]);
  }
  const levels = new Map(rows.map((row) => [row, median(row.map((each) => levelOf(each, slope)))]));
  rows.sort((one, other) => levels.get(one) - levels.get(other));
  return rows.map((row) => split(row).map((number) => number.map((each) => characters.indexOf(each))));
}

/** Return by how many pixels lines fall per pixel to the right: the median over neighbouring digits. */
function slopeOf(characters) {
  const digits = characters.filter(isDigit);
  const slopes = digits.flatMap((first) => {
    const following = digits.filter((second) => isNext(first, second));
    if (!following.length) return [];
    const [across, down] = step(first, minBy(following, ({ box }) => box[0]));
    return [down / across];
  });
  return slopes.length ? median(slopes) : 0;
}

/** Return whether a character follows another in a line, with no wide gap between them. */
function isNext(first, second) {
  const [across, down] = step(first, second);
  const em = (first.em + second.em) / 2;
  return across > 0 && second.box[0] - first.box[2] < MAX_GAP_EM * em && Math.abs(down) < MAX_RISE_EM * em && Math.abs(down) < across;
}

function step(first, second) {
  const [from, to] = [middleOf(first), middleOf(second)];
  return [to[0] - from[0], to[1] - from[1]];
}

/** Return the row of the middle of a character, once the page is level. */
function levelOf(character, slope) {
  const [across, down] = middleOf(character);
  return down - slope * across;
}

/**
 * Return how far a character is above or below the end of a row, as a fraction of their height.
 *
 * A separator may lie anywhere between the top and the bottom of a digit.
 */
function riseOf(row, character, slope) {
  const digits = lastDigits(row);
  const ends = digits.length ? digits : row.slice(-1);
  const levels = ends.map((each) => levelOf(each, slope));
  const [level, last] = [levelOf(character, slope), ends.at(-1)];
  let rise = Math.min(Math.abs(level - levels.at(-1)), Math.abs(level - sum(levels) / levels.length));
  if (isDigit(character) !== isDigit(last)) rise = Math.max(0, rise - Math.max(heightOf(character), heightOf(last)) / 2);
  return (2 * rise) / (last.em + character.em);
}

function lastDigits(row) {
  const digits = [];
  for (let place = row.length - 1; place >= 0 && digits.length < ROW_END; place--) {
    if (isDigit(row[place])) digits.unshift(row[place]);
  }
  return digits;
}

function isDigit({ probabilities }) {
  return argmax(probabilities) < DIGITS;
}

function heightOf({ box }) {
  return box[3] - box[1];
}

/** Split a row where a number starts, and at wide gaps. */
function split(row) {
  const numbers = [];
  for (const each of row) {
    if (!numbers.length || isApart(numbers.at(-1).at(-1), each)) numbers.push([]);
    numbers.at(-1).push(each);
  }
  return numbers;
}

/** Return whether two neighbours belong to different numbers. */
function isApart(first, second) {
  const gap = (second.box[0] - first.box[2]) / second.em;
  return gap >= MAX_GAP_EM || (gap >= MIN_SPACE_EM && second.starts >= MIN_P_START);
}
