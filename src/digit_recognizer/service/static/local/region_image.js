// The image of a found character and of what is around it. In Python: imaging/region_image.py.

import { makeGrid } from "./grid.js";
import { clip, rint } from "./numeric.js";
import { resize } from "./resample.js";

export const REGION_SIDE_PX = 48; // of the image
const REGION_WIDTH = 2; // of the square that is seen, relative to the longer side of the character's box
const MIN_SIDE_EM = 0.5; // of what counts as that side: points are seen with their surroundings
const MIN_SQUARE_PX = 2;
const INK = 255;

/**
 * Return the square around a box of a page, and where the box is: 2 x 2,304 bytes.
 *
 * The first part is grey, as the page, which continues beyond its edges as they are; the second is 255 in the
 * box and 0 around it. `em` is the height of a digit of the same number, in pixels of the page.
 */
export function regionImage(page, { x, y, width, height }, em) {
  const side = Math.max(MIN_SQUARE_PX, rint(REGION_WIDTH * Math.max(height, width, MIN_SIDE_EM * em)));
  const [top, left] = [[y, height], [x, width]].map(([start, length]) => rint((2 * start + length - side) / 2));
  const square = makeGrid(side, side, Uint8Array);
  for (let row = 0, to = 0; row < side; row++) {
    const start = clip(top + row, 0, page.height - 1) * page.width;
    for (let column = 0; column < side; column++, to++) square.values[to] = page.values[start + clip(left + column, 0, page.width - 1)];
  }
  const image = new Uint8Array(2 * REGION_SIDE_PX ** 2);
  image.set(resize(square, REGION_SIDE_PX / side).values);
  const isInside = (place, length) => Math.abs(place + 0.5 - REGION_SIDE_PX / 2) < ((length / side) * REGION_SIDE_PX) / 2;
  for (let row = 0, to = REGION_SIDE_PX ** 2; row < REGION_SIDE_PX; row++) {
    for (let column = 0; column < REGION_SIDE_PX; column++, to++) image[to] = isInside(row, height) && isInside(column, width) ? INK : 0;
  }
  return image;
}
