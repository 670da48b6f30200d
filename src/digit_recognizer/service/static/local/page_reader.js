// Read a page: find its characters, and say which of them are a number. In Python: recognition/page_reader.py.

import { boxOn } from "./agreement.js";
import { characterImage } from "./character_image.js";
import { DIGITS, MIN_READ_CONFIDENCE, confidenceOf, isDigit, mostProbable } from "./characters.js";
import { interpret } from "./compose.js";
import { group } from "./grouping.js";
import { sum } from "./numeric.js";

const MIN_SURE_DIGITS = 2; // of a number, from which less sure digits in it are read, too
const MIN_CONFIDENCE_AMONG_DIGITS = 0.3; // of these
const [UNLIKELY, NO_DIGITS] = ["probably not a digit", "no digit beside it"]; // reasons to reject a mark

/**
 * Read all numbers on a page, 0 black to 255 white.
 *
 * `find(page)` finds its characters; `predict(images)` also says which digit each of the digits is, with the
 * weight `imageWeight`; `calibration` and `threshold` are for the confidence of numbers.
 */
export async function readPage(page, { find, predict, imageWeight, calibration, threshold }) {
  const found = await find(page);
  const located = found.map((each) => characterOf(each, page));
  const characters = await withPredictions(located, predict, imageWeight);
  const chosen = choose(found, characters);
  const unlikely = characters.filter((_, place) => !chosen.includes(place));
  const rejected = unlikely.map((each) => rejectedMark(each, UNLIKELY));
  const lines = [];
  for (const row of group(chosen.map((place) => found[place]))) {
    const numbers = row.map((number) => number.map((place) => characters[chosen[place]]));
    for (const each of numbers.filter((number) => !number.some(isDigit)).flat()) rejected.push(rejectedMark(each, NO_DIGITS));
    lines.push({ numbers: numbers.filter((number) => number.some(isDigit)) });
  }
  const read = lines.filter(({ numbers }) => numbers.length);
  return interpret({ lines: read, rejectedMarks: rejected, rotation: 0 }, calibration, threshold);
}

function rejectedMark(guess, reason) {
  return { box: guess.box, reason, guess };
}

/** Return the places of what is read: sure characters, and less sure digits among sure ones. */
function choose(found, characters) {
  const likely = [...characters.keys()].filter((place) => pRead(characters[place]) >= MIN_CONFIDENCE_AMONG_DIGITS);
  const chosen = group(likely.map((place) => found[place])).flatMap((row) =>
    row.flatMap((number) => {
      const places = number.map((each) => likely[each]);
      const sure = places.filter((place) => pRead(characters[place]) >= MIN_READ_CONFIDENCE);
      const digits = places.filter((place) => isDigit(characters[place]));
      const isNumber = sure.filter((place) => digits.includes(place)).length >= MIN_SURE_DIGITS;
      return isNumber ? [...new Set([...sure, ...digits])] : sure;
    }),
  );
  return chosen.sort((one, other) => one - other);
}

/** Return the confidence of a digit, or the probability of any separator: points look like commas. */
function pRead(character) {
  return isDigit(character) ? confidenceOf(character) : character.isCharacter * sum(character.probabilities.slice(DIGITS));
}

function characterOf(found, page) {
  const total = sum(found.probabilities);
  const box = boxOn(found, page);
  return mostProbable(box, found.probabilities.map((p) => p / total), found.isCharacter, characterImage(page, box));
}

/** Let the network for single digits say, too, which digit each of the digits is. */
async function withPredictions(characters, predict, weight) {
  const digits = characters.filter(isDigit);
  if (!digits.length) return characters;
  const predictions = await predict(digits.map(({ image }) => image));
  return characters.map((each) => (isDigit(each) ? combined(each, predictions[digits.indexOf(each)].probabilities, weight) : each));
}

/** Return a digit whose probabilities are a weighted geometric mean. */
function combined({ box, probabilities, isCharacter, image }, predicted, weight) {
  const digits = probabilities.slice(0, DIGITS);
  const means = digits.map((p, digit) => p ** (1 - weight) * predicted[digit] ** weight);
  const [pDigit, total] = [sum(digits), sum(means)];
  const mixed = [...means.map((mean) => (pDigit * mean) / total), ...probabilities.slice(DIGITS)];
  return mostProbable(box, mixed.map((p) => p / sum(mixed)), isCharacter, image);
}
