// Single characters: what they may be, with which probability, and where they are. In Python: reading/characters.py.
//
// A character is {text, box: {x, y, width, height}, probabilities, isCharacter, image}.

import { argmax, sum } from "./numeric.js";

export const CHARACTERS = "0123456789.,-/:+%"; // the classes, in this order
export const DIGITS = 10; // the first of these
export const MIN_READ_CONFIDENCE = 0.6; // below, a mark on its own is not read

export function isDigit({ text }) {
  return text >= "0" && text <= "9";
}

/** Return the most probable character. */
export function mostProbable(box, probabilities, isCharacter, image = null) {
  return { text: CHARACTERS[argmax(probabilities)], box, probabilities, isCharacter, image };
}

/** Return the probability that it is this character. */
export function confidenceOf({ text, probabilities, isCharacter }) {
  return isCharacter * probabilities[CHARACTERS.indexOf(text)];
}

/** Return the character as one of ten digits; null if it is a separator. */
export function asDigit(character) {
  if (!isDigit(character)) return null;
  const digits = character.probabilities.slice(0, DIGITS);
  const pDigit = Math.max(1 - sum(character.probabilities.slice(DIGITS)), ...digits);
  if (pDigit <= 0) return null;
  const digit = Number(character.text);
  const probabilities = digits.map((p) => p / pDigit);
  const isADigit = character.isCharacter * pDigit;
  return { digit, box: character.box, probabilities, isDigit: isADigit, confidence: isADigit * probabilities[digit], image: character.image };
}
