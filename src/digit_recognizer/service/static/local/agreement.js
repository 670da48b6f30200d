// What several looks at a page, in different sizes, say together. In Python: recognition/agreement.py.
//
// A found character is {box: [left, top, right, bottom], probabilities, isCharacter, em, starts}; a look is
// {scale, area, found}.

import { argmax, clip, rint } from "./numeric.js";

// Of the smaller of two boxes; if they overlap more, they are one character.
const MAX_OVERLAP_FRACTION = 0.7;
const LOW_MAX_OVERLAP_FRACTION = 0.5; // if both are the same digit or sign, or the less probable one is improbable
const P_PROBABLE = 0.5;
const MIN_SAME_IOU = 0.5; // from it, two looks found the same character
const MIN_SIDE_EM = 0.25; // of boxes that are compared: those of points differ by a pixel, which is much of them
const SURE_EM_RANGE_PX = [24, 48]; // heights of digits at which no look should miss a character
const P_MISSED = 0.05; // probability of a character by a look that should find it and does not
const P_RANGE = [1e-4, 1 - 1e-4]; // of a single look

/** Return the probability that there is a character, and that it is the most probable one. */
export function confidenceOf({ isCharacter, probabilities }) {
  return isCharacter * Math.max(...probabilities);
}

/** Return the column and the row of the middle of a character's box. */
export function middleOf({ box: [left, top, right, bottom] }) {
  return [(left + right) / 2, (top + bottom) / 2];
}

/** Return a character's box in whole pixels inside a page. */
export function boxOn({ box }, { height, width }) {
  const [left, top, right, bottom] = box.map(rint);
  const [x, y] = [clip(left, 0, width - 1), clip(top, 0, height - 1)];
  return { x, y, width: Math.max(1, Math.min(right, width) - x), height: Math.max(1, Math.min(bottom, height) - y) };
}

/**
 * Return all that was found, each with the mean of what those looks say that should find it.
 *
 * The mean is that of the logarithms of the odds for `isCharacter`, and for `probabilities` the mean of looks
 * that find the character, weighted by how sure they are.
 */
export function agree(looks) {
  const successful = looks.filter(({ found }) => found.length).map((look) => ({ ...look, boxes: look.found.map(roomyBox) }));
  return successful.flatMap((look) => {
    const others = successful.filter((other) => other !== look);
    return look.found.map((each, place) => agreed(each, look.boxes[place], others));
  });
}

/** Return a character as the look that found it and other looks say together; `box` is its roomy box. */
function agreed(character, box, others) {
  let [total, votes, weights] = [logOdds(character.isCharacter), 1, character.isCharacter];
  const weighted = character.probabilities.map((p) => p * weights);
  for (const other of others.filter((look) => canBeFoundBy(character, look))) {
    const same = other.found.filter((_, place) => iou(box, other.boxes[place]) >= MIN_SAME_IOU);
    const best = same.reduce((one, each) => (one && one.isCharacter >= each.isCharacter ? one : each), null);
    total += logOdds(best?.isCharacter ?? P_MISSED);
    votes++;
    if (!best) continue;
    best.probabilities.forEach((p, place) => (weighted[place] += p * best.isCharacter));
    weights += best.isCharacter;
  }
  return { ...character, isCharacter: 1 / (1 + Math.exp(-total / votes)), probabilities: weighted.map((p) => p / weights) };
}

/** Return a character's box, or one around its middle that is not too small to be compared. */
function roomyBox({ box, em }) {
  const [left, top, right, bottom] = box;
  const [column, row] = middleOf({ box });
  const [across, down] = [right - left, bottom - top].map((side) => Math.max(side, MIN_SIDE_EM * em) / 2);
  return [column - across, row - down, column + across, row + down];
}

/** Return whether a look should find a character. */
function canBeFoundBy(character, { scale, area }) {
  const em = character.em * scale;
  return area.contains(...middleOf(character)) && SURE_EM_RANGE_PX[0] <= em && em <= SURE_EM_RANGE_PX[1];
}

/** Return the most probable of characters that lie upon each other, the most probable first. */
export function keepBest(found) {
  const kept = [];
  for (const each of [...found].sort((one, other) => other.isCharacter - one.isCharacter)) {
    if (kept.every((other) => !areOne(each, other))) kept.push(each);
  }
  return kept;
}

/** Return whether a character is the same as one that is more probable. */
function areOne(one, other) {
  const isDoubtful = argmax(one.probabilities) === argmax(other.probabilities) || one.isCharacter < P_PROBABLE;
  return overlap(one.box, other.box) > (isDoubtful ? LOW_MAX_OVERLAP_FRACTION : MAX_OVERLAP_FRACTION);
}

/** Return the logarithm of the odds of a probability, limited to those that a single look may give. */
export function logOdds(probability) {
  const p = clip(probability, ...P_RANGE);
  return Math.log(p / (1 - p));
}

function area([left, top, right, bottom]) {
  return (right - left) * (bottom - top);
}

function common(one, other) {
  const width = Math.min(one[2], other[2]) - Math.max(one[0], other[0]);
  const height = Math.min(one[3], other[3]) - Math.max(one[1], other[1]);
  return Math.max(width, 0) * Math.max(height, 0);
}

/** Return the intersection of two boxes as a fraction of the smaller one. */
function overlap(one, other) {
  return common(one, other) / Math.max(Math.min(area(one), area(other)), 1e-6);
}

/** Return the intersection over union of two boxes. */
function iou(one, other) {
  return common(one, other) / (area(one) + area(other) - common(one, other));
}
