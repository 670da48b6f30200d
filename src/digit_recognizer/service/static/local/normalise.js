// Normalise the ink of one digit, of any size, to 28×28 pixels, as MNIST was made. In Python: imaging/normalise.py.

import { makeGrid, map, part } from "./grid.js";
import { clip, rint, sum } from "./numeric.js";
import { BICUBIC, HAMMING, resample } from "./resample.js";

export const SIDE = 28; // pixels along each side of an image
export const INK = 255; // full ink
const BOX_PX = 20; // longer side of the normalised ink
const CENTRE_PX = SIDE / 2; // pixel index of the centre of mass

/** Return the image, a `Uint8Array` of 784 pixels, of ink: 0 is the background, larger is more ink. */
export function normalise(ink) {
  const cropped = crop(ink);
  if (cropped === null) return new Uint8Array(SIDE * SIDE);
  const fitted = fit(cropped);
  const stretch = Math.fround(INK / largest(fitted));
  return centre(map(fitted, Uint8Array, (value) => rint(Math.fround(value * stretch))));
}

/** Return the part of a grid with ink, null if there is none. */
function crop(ink) {
  let [top, left, bottom, right] = [ink.height, ink.width, 0, 0];
  ink.values.forEach((value, place) => {
    if (value === 0) return;
    const [row, column] = [Math.floor(place / ink.width), place % ink.width];
    [top, bottom, left, right] = [Math.min(top, row), Math.max(bottom, row + 1), Math.min(left, column), Math.max(right, column + 1)];
  });
  return bottom === 0 ? null : part(ink, top, left, bottom, right);
}

/** Scale to a longer side of `BOX_PX`; as in MNIST, the ink ends at the edges of the box. */
function fit(cropped) {
  const zoom = BOX_PX / Math.max(cropped.height, cropped.width);
  const [height, width] = [cropped.height, cropped.width].map((side) => Math.max(1, rint(side * zoom)));
  const most = largest(cropped);
  const scaled = resample(map(cropped, Float32Array, (value) => value / most), height, width, zoom > 1 ? BICUBIC : HAMMING);
  return map(scaled, Float32Array, (value) => Math.max(value, 0)); // bicubic interpolation falls below 0 beside an edge
}

function largest(grid) {
  return grid.values.reduce((most, value) => Math.max(most, value), 0);
}

/** Paste an image so that its centre of mass is in the middle, or as near as keeps all ink inside. */
function centre(image) {
  const { height, width, values } = image;
  const rows = Array.from({ length: height }, (_, row) => sum(values.subarray(row * width, (row + 1) * width)));
  const columns = Array.from({ length: width }, (_, column) => sum(rows.map((_, row) => values[row * width + column])));
  const [top, left] = [startOf(rows), startOf(columns)];
  const canvas = makeGrid(SIDE, SIDE, Uint8Array);
  rows.forEach((_, row) => canvas.values.set(values.subarray(row * width, (row + 1) * width), (top + row) * SIDE + left));
  return canvas.values;
}

/** Return the row, or column, at which ink with these sums per row, or column, has to begin. */
function startOf(weights) {
  const mass = sum(weights.map((weight, place) => weight * place)) / sum(weights);
  return clip(Math.max(rint(CENTRE_PX - mass), 0), 0, SIDE - weights.length);
}
