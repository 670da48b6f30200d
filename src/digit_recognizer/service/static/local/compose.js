// Make numbers of characters: their text, value, confidence and alternatives. In Python: reading/compose.py.
//
// A reading is {lines: [{numbers}], rejectedMarks: [{box, reason, guess}], notes, rotation}.

import { CHARACTERS, confidenceOf } from "./characters.js";
import { isAmbiguous, usualMark, valueOf, valuesOf } from "./decimals.js";

const ALTERNATIVES = 3; // of a number

/** Return a reading whose numbers are understood; below the `threshold` of confidence, they are not sure. */
export function interpret(reading, calibration, threshold) {
  const lines = reading.lines.map(({ numbers }) => numbers.map((characters) => decide(characters, calibration, threshold)));
  const texts = lines.flat().map(({ text }) => text);
  const mark = usualMark(texts);
  const understood = lines.map((line) => ({ numbers: line.map((number) => ({ ...number, value: valueIn(number.text, mark) })) }));
  return { ...reading, lines: understood, notes: mark === null ? notesOn(texts) : [] };
}

/** Return a number with its confidence and its alternatives. */
function decide(characters, calibration, threshold) {
  const raw = characters.reduce((product, each) => product * confidenceOf(each), 1);
  const confidence = calibrated(raw, calibration);
  const rest = raw < 1 ? (1 - confidence) / (1 - raw) : 0;
  const text = characters.map((each) => each.text).join("");
  const alternatives = runnersUp(characters, ALTERNATIVES)
    .filter((each) => each.text !== text)
    .map((each) => ({ text: each.text, probability: each.probability * rest }));
  return { characters, text, confidence, sure: confidence >= threshold, alternatives: alternatives.slice(0, ALTERNATIVES) };
}

/** Return a calibrated confidence. In Python: reading/calibration.py. */
function calibrated(confidence, { scale, shift }) {
  if ((scale === 1 && shift === 0) || confidence <= 0 || confidence >= 1) return confidence;
  return 1 / (1 + Math.exp(-(scale * Math.log(confidence / (1 - confidence)) + shift)));
}

/** Return the `count` + 1 most probable texts of characters, without the empty one. In Python: reading/allowed.py. */
function runnersUp(characters, count) {
  let texts = [{ text: "", probability: 1 }];
  for (const each of characters) {
    const longer = new Map();
    for (const option of mostProbable(optionsOf(each), count + 2)) {
      for (const { text, probability } of texts) {
        const whole = text + option.text;
        longer.set(whole, (longer.get(whole) ?? 0) + probability * option.probability);
      }
    }
    texts = mostProbable([...longer].map(([text, probability]) => ({ text, probability })), count + 2);
  }
  return texts.filter(({ text }) => text).slice(0, count + 1);
}

/** Return what a character may be; the empty text is none at all. */
function optionsOf({ probabilities, isCharacter }) {
  const options = probabilities.map((p, place) => ({ text: CHARACTERS[place], probability: p * isCharacter }));
  return [...options, { text: "", probability: 1 - isCharacter }].filter(({ probability }) => probability > 0);
}

function mostProbable(options, count) {
  return [...options].sort((one, other) => other.probability - one.probability || (one.text < other.text ? -1 : 1)).slice(0, count);
}

/** Return the value of a text; `mark` is the usual decimal mark of the page, if there is one. */
function valueIn(text, mark) {
  if (!isAmbiguous(text)) return valuesOf(text).find((value) => value !== null) ?? null;
  return mark === null ? null : valueOf(text, mark);
}

/** Return a sentence if the value of some texts depends on the decimal mark. */
function notesOn(texts) {
  const unclear = [...new Set(texts.filter(isAmbiguous))];
  if (!unclear.length) return [];
  const [point, comma] = valuesOf(unclear[0]);
  const rest = unclear.length > 1 ? `, like ${unclear.length - 1} more` : "";
  return [`${unclear[0]} may be ${point} or ${comma}${rest}: no other number shows what the decimal mark is`];
}
