// The image of one character whose box on a page is known. In Python: imaging/character_image.py.

import { edges, map, part } from "./grid.js";
import { normalise } from "./normalise.js";
import { clip, median, percentile, rint } from "./numeric.js";
import { resize } from "./resample.js";

const WORK_SIDE_PX = 40; // longer side of the character while its ink is found
const SURROUNDINGS_FRACTION = 0.1; // of the longer side, around the box: there the paper is seen
const FULL_INK_PERCENTILE = 95; // of the ink in the box
const MIN_INK_FRACTION = 0.2; // of full ink; less is paper

/**
 * Return what is in a box of a page as an image of 784 pixels, 0 background to 255 ink.
 *
 * The paper is as bright as the edge of what is around the box; the ink is darker or lighter than that,
 * whichever there is more of.
 */
export function characterImage(page, { x, y, width, height }) {
  const margin = rint(SURROUNDINGS_FRACTION * Math.max(width, height)) + 1;
  const around = part(page, Math.max(0, y - margin), Math.max(0, x - margin), y + height + margin, x + width + margin);
  const paper = median(edges(around));
  const darker = map(part(page, y, x, y + height, x + width), Float32Array, (level) => paper - level);
  const isDark = darker.values.reduce((total, value) => total + value, 0) >= 0;
  const whole = isDark ? darker : map(darker, Float32Array, (value) => -value);
  const ink = resize(whole, Math.min(1, WORK_SIDE_PX / Math.max(whole.height, whole.width)));
  const full = Math.fround(percentile(ink.values, FULL_INK_PERCENTILE));
  return normalise(map(ink, Float32Array, (value) => clip(value - MIN_INK_FRACTION * full, 0, Math.max(full, 1e-6))));
}
