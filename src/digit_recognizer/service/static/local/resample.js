// Pages and ink in other sizes, with antialiasing, as Pillow's `Image.resize` computes them.

import { makeGrid } from "./grid.js";
import { clip, rint } from "./numeric.js";

const CUBIC_A = -0.5; // of the cubic convolution
const WEIGHT_STEPS = 2 ** 22; // to which Pillow rounds the weights of bytes

export const BICUBIC = {
  support: 2,
  weight(distance) {
    const x = Math.abs(distance);
    if (x < 1) return ((CUBIC_A + 2) * x - (CUBIC_A + 3)) * x * x + 1;
    return x < 2 ? (((x - 5) * x + 8) * x - 4) * CUBIC_A : 0;
  },
};

export const HAMMING = {
  support: 1,
  weight(distance) {
    const x = Math.abs(distance) * Math.PI;
    if (x === 0) return 1;
    return x < Math.PI ? (Math.sin(x) / x) * (0.54 + 0.46 * Math.cos(x)) : 0;
  },
};

/** Return a grid in another size, at least one value high and wide. In Python: imaging/resize.py. */
export function resize(grid, scale) {
  const [height, width] = [grid.height, grid.width].map((side) => Math.max(1, rint(side * scale)));
  return resample(grid, height, width, scale < 1 ? HAMMING : BICUBIC);
}

/** Return a grid of bytes or floats in another size; bytes are rounded after each of the two directions. */
export function resample(grid, height, width, filter) {
  return resampleRows(resampleColumns(grid, width, filter), height, filter);
}

function resampleColumns(grid, width, filter) {
  if (width === grid.width) return grid;
  const made = makeGrid(grid.height, width, grid.values.constructor);
  const { firsts, ends, weights } = windowsOf(grid.width, width, filter, isOfBytes(grid));
  const round = rounding(made);
  for (let row = 0, to = 0; row < made.height; row++) {
    const start = row * grid.width;
    for (let column = 0, weight = 0; column < width; column++, to++) {
      let total = 0;
      for (let from = start + firsts[column], end = start + ends[column]; from < end; from++) total += weights[weight++] * grid.values[from];
      made.values[to] = round(total);
    }
  }
  return made;
}

function resampleRows(grid, height, filter) {
  if (height === grid.height) return grid;
  const { width } = grid;
  const made = makeGrid(height, width, grid.values.constructor);
  const { firsts, ends, weights } = windowsOf(grid.height, height, filter, isOfBytes(grid));
  const round = rounding(made);
  const totals = new Float64Array(width);
  for (let row = 0, weight = 0; row < height; row++) {
    totals.fill(0);
    for (let old = firsts[row]; old < ends[row]; old++, weight++) {
      for (let column = 0, from = old * width; column < width; column++, from++) totals[column] += weights[weight] * grid.values[from];
    }
    for (let column = 0, to = row * width; column < width; column++, to++) made.values[to] = round(totals[column]);
  }
  return made;
}

function isOfBytes(grid) {
  return grid.values instanceof Uint8Array;
}

function rounding(grid) {
  return isOfBytes(grid) ? (value) => clip(Math.floor(value + 0.5), 0, 255) : (value) => value;
}

/** Return for each new value the first of the old ones that it is made of, where they end, and their weights in a row. */
function windowsOf(side, newSide, { support, weight }, areBytes) {
  const scale = side / newSide;
  const stretch = Math.max(scale, 1); // of the filter
  const [firsts, ends, all] = [new Int32Array(newSide), new Int32Array(newSide), []];
  for (let place = 0; place < newSide; place++) {
    const middle = (place + 0.5) * scale;
    firsts[place] = Math.max(Math.trunc(middle - support * stretch + 0.5), 0);
    ends[place] = Math.min(Math.trunc(middle + support * stretch + 0.5), side);
    const weights = [];
    for (let old = firsts[place]; old < ends[place]; old++) weights.push(weight((old - middle + 0.5) / stretch));
    const total = weights.reduce((sum, each) => sum + each, 0);
    for (const each of weights) all.push(areBytes ? rint((each / total) * WEIGHT_STEPS) / WEIGHT_STEPS : each / total);
  }
  return { firsts, ends, weights: Float64Array.from(all) };
}
