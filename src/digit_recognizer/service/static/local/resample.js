// Scale with antialiasing, as Pillow's `Image.resize` does.

import { makeGrid } from "./grid.js";

const CUBIC_A = -0.5; // of the cubic convolution

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

/** Return a grid of floats in another size. */
export function resample(grid, height, width, filter) {
  return resampleRows(resampleColumns(grid, width, filter), height, filter);
}

function resampleColumns(grid, width, filter) {
  if (width === grid.width) return grid;
  const made = makeGrid(grid.height, width, Float32Array);
  windowsOf(grid.width, width, filter).forEach(({ first, weights }, column) => {
    for (let row = 0; row < grid.height; row++) {
      const start = row * grid.width + first;
      made.values[row * width + column] = weights.reduce((total, weight, place) => total + weight * grid.values[start + place], 0);
    }
  });
  return made;
}

function resampleRows(grid, height, filter) {
  if (height === grid.height) return grid;
  const made = makeGrid(height, grid.width, Float32Array);
  windowsOf(grid.height, height, filter).forEach(({ first, weights }, row) => {
    for (let column = 0; column < grid.width; column++) {
      made.values[row * grid.width + column] = weights.reduce(
        (total, weight, place) => total + weight * grid.values[(first + place) * grid.width + column],
        0,
      );
    }
  });
  return made;
}

/** Return for each new pixel the first of the old ones that it is made of, and their weights. */
function windowsOf(side, newSide, { support, weight }) {
  const scale = side / newSide;
  const stretch = Math.max(scale, 1); // of the filter
  return Array.from({ length: newSide }, (_, place) => {
    const middle = (place + 0.5) * scale;
    const first = Math.max(Math.trunc(middle - support * stretch + 0.5), 0);
    const end = Math.min(Math.trunc(middle + support * stretch + 0.5), side);
    const weights = Array.from({ length: end - first }, (_, each) => weight((each + first - middle + 0.5) / stretch));
    const total = weights.reduce((all, each) => all + each, 0);
    return { first, weights: weights.map((each) => each / total) };
  });
}
