// Find out whether a page lies on its side or upside down, and read it upright. In Python: recognition/rotation.py.

import { asDigit } from "./characters.js";
import { rotate } from "./grid.js";
import { maxBy, sum } from "./numeric.js";
import { resize } from "./resample.js";

const MIN_SURE_FRACTION = 2 / 3; // of what may be digits; with fewer, a page may be turned
const SURE = 0.9; // confidence of a digit
const MAYBE = 0.25; // confidence of a rejected mark that may be a digit
const MIN_SURE_DIGITS = 2; // of a turned page: a single digit does not tell, a 6 may be a 9
const ROTATIONS = [90, 180, 270]; // degrees clockwise
const MAX_PIXELS = 800_000; // of the page that is turned
const MAX_CONFIDENCE = 1 - 1e-6;
const P_TURNED = 0.01; // of pages that lie in another way than upright: 18 upside down is 81

/** Read a page as it is; if few digits are sure, also turned, and return the surest reading. */
export async function readUpright(page, read) {
  const upright = await read(page);
  if (!isDoubtful(upright)) return upright;
  const small = resize(page, Math.min(1, Math.sqrt(MAX_PIXELS / (page.height * page.width))));
  const readings = [upright];
  for (const rotation of ROTATIONS) {
    const reading = await read(rotate(small, rotation));
    if (sureOf(reading).length >= MIN_SURE_DIGITS) readings.push({ ...reading, rotation });
  }
  const prior = Math.log((1 - P_TURNED) / (P_TURNED / ROTATIONS.length)); // for upright
  const best = maxBy(readings, (reading) => logOdds(reading) + (reading.rotation === 0 ? prior : 0));
  if (best.rotation === 0) return upright;
  return small === page ? best : { ...(await read(rotate(page, best.rotation))), rotation: best.rotation };
}

function digitsOf(reading) {
  return reading.lines.flatMap(({ numbers }) => numbers.flatMap(({ characters }) => characters.flatMap((each) => asDigit(each) ?? [])));
}

function isDoubtful(reading) {
  const guesses = reading.rejectedMarks.flatMap(({ guess }) => asDigit(guess) ?? []);
  const maybe = guesses.filter(({ confidence }) => confidence >= MAYBE).length;
  return sureOf(reading).length <= MIN_SURE_FRACTION * (digitsOf(reading).length + maybe);
}

function sureOf(reading) {
  return digitsOf(reading).filter(({ confidence }) => confidence >= SURE);
}

/** Return the sum of the logarithms of the odds of all digits. */
function logOdds(reading) {
  const confidences = digitsOf(reading).map(({ confidence }) => Math.min(confidence, MAX_CONFIDENCE));
  return sum(confidences.map((each) => (each > 0 ? Math.max(0, Math.log(each / (1 - each))) : 0)));
}
