// Which parts of an image a prediction depends on. In Python: explain/occlusion.py.

import { SIDE } from "./normalise.js";
import { argmax, sum } from "./numeric.js";

const WINDOW_PX = 6; // side of the square that is hidden
const STRIDE_PX = 2; // from one window to the next
const MIN_PROBABILITY = 1e-30; // avoids log(0)
const CORNERS = Array.from({ length: (SIDE - WINDOW_PX) / STRIDE_PX + 1 }, (_, place) => place * STRIDE_PX);
const WINDOWS = CORNERS.flatMap((row) => CORNERS.map((column) => pixelsOf(row, column))); // the places of their pixels

function pixelsOf(row, column) {
  const steps = [...Array(WINDOW_PX).keys()];
  return steps.flatMap((down) => steps.map((across) => (row + down) * SIDE + column + across));
}

/**
 * Return for each pixel of an image by how much the log-odds of the most probable digit fall when it is hidden.
 *
 * `predict` is that of a `Recognizer`.
 */
export async function occlude(predict, image) {
  const windows = WINDOWS.filter((pixels) => pixels.some((pixel) => image[pixel] > 0)); // hiding background changes nothing
  const hidden = windows.map((pixels) => image.map((level, pixel) => (pixels.includes(pixel) ? 0 : level)));
  const predictions = await predict([...hidden, image]);
  const digit = argmax(predictions.at(-1).probabilities);
  const odds = predictions.map(({ probabilities }) => logOdds(probabilities, digit));
  const [total, cover] = [new Float64Array(SIDE * SIDE), new Float64Array(SIDE * SIDE)];
  windows.forEach((pixels, number) => pixels.forEach((pixel) => (total[pixel] += odds.at(-1) - odds[number])));
  for (const pixels of WINDOWS) for (const pixel of pixels) cover[pixel]++;
  return total.map((fall, pixel) => fall / cover[pixel]);
}

function logOdds(probabilities, digit) {
  const others = sum(probabilities.filter((_, each) => each !== digit));
  return Math.log(Math.max(probabilities[digit], MIN_PROBABILITY) / Math.max(others, MIN_PROBABILITY));
}
