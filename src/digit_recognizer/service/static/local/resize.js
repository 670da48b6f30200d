// Sizes of pages: INTER_AREA and INTER_CUBIC as OpenCV computes them.

import { makeGrid } from "./grid.js";
import { clip, rint } from "./numeric.js";

const LEAST_OVERLAP = 1e-3; // of a pixel, which counts
const CUBIC_A = -0.75; // of the cubic convolution
const WEIGHT_STEPS = 2048; // to which OpenCV rounds the weights of bytes

/** Return a page in another size, at least one pixel high and wide. */
export function resize(page, scale) {
  const [height, width] = [page.height, page.width].map((side) => Math.max(1, rint(side * scale)));
  if (height === page.height && width === page.width) return page;
  return scale < 1 ? reduceByArea(page, height, width) : enlargeByCubic(page, height, width);
}

/** Return the mean of the pixels that each new pixel covers; bytes are rounded. */
export function reduceByArea(grid, height, width) {
  const [down, across] = [grid.height / height, grid.width / width];
  const isWhole = Number.isInteger(down) && Number.isInteger(across);
  return isWhole ? meanOfBlocks(grid, down, across) : weightedMean(grid, height, width);
}

function meanOfBlocks(grid, down, across) {
  const made = makeGrid(grid.height / down, grid.width / across, grid.values.constructor);
  const round = rounding(grid, down === 2 && across === 2 ? (mean) => Math.floor(mean + 0.5) : rint);
  for (let row = 0, to = 0; row < made.height; row++) {
    for (let column = 0; column < made.width; column++, to++) {
      let total = 0;
      for (let y = row * down; y < (row + 1) * down; y++) {
        for (let x = column * across, from = y * grid.width + x; x < (column + 1) * across; x++, from++) total += grid.values[from];
      }
      made.values[to] = round(total / (down * across));
    }
  }
  return made;
}

function weightedMean(grid, height, width) {
  const [rows, columns] = [overlaps(grid.height, height), overlaps(grid.width, width)];
  const made = makeGrid(height, width, grid.values.constructor);
  const round = rounding(grid, rint);
  const line = new Float32Array(width); // of an old row, the sums of what each new column covers
  const totals = new Float32Array(width); // the sums of these over what a new row covers
  for (let each = 0; each < rows.to.length; each++) {
    line.fill(0);
    addWeighted(line, grid.values, rows.from[each] * grid.width, columns);
    for (let x = 0; x < width; x++) totals[x] += line[x] * rows.weight[each];
    if (rows.to[each] === rows.to[each + 1]) continue;
    for (let x = 0, start = rows.to[each] * width; x < width; x++) made.values[start + x] = round(totals[x]);
    totals.fill(0);
  }
  return made;
}

/** Add the values of a row, which begins at `start`, to the new columns that cover them. */
function addWeighted(line, values, start, { from, to, weight }) {
  for (let each = 0; each < to.length; each++) line[to[each]] += values[start + from[each]] * weight[each];
}

/** Return how much of each new pixel, `to`, each old one, `from`, covers: the table of OpenCV's resizeArea. */
function overlaps(side, newSide) {
  const scale = side / newSide;
  const [from, to, weight] = [[], [], []];
  const add = (old, place, fraction) => {
    from.push(old);
    to.push(place);
    weight.push(fraction);
  };
  for (let place = 0; place < newSide; place++) {
    const [start, end] = [place * scale, place * scale + scale];
    const width = Math.min(scale, side - start);
    const last = Math.min(Math.floor(end), side - 1);
    const first = Math.min(Math.ceil(start), last);
    if (first - start > LEAST_OVERLAP) add(first - 1, place, (first - start) / width);
    for (let old = first; old < last; old++) add(old, place, 1 / width);
    if (end - last > LEAST_OVERLAP) add(last, place, Math.min(end - last, 1, width) / width);
  }
  return { from: Int32Array.from(from), to: Int32Array.from(to), weight: Float32Array.from(weight) };
}

function rounding(grid, round) {
  return grid.values instanceof Uint8Array ? round : (mean) => mean;
}

/** Return an enlarged page of bytes. */
function enlargeByCubic(page, height, width) {
  const [rows, columns] = [cubicWeights(page.height, height), cubicWeights(page.width, width)];
  const lines = new Int32Array(page.height * width);
  for (let row = 0; row < page.height; row++) {
    columns.forEach(({ places, weights }, x) => {
      for (let each = 0; each < 4; each++) lines[row * width + x] += page.values[row * page.width + places[each]] * weights[each];
    });
  }
  const made = makeGrid(height, width, Uint8Array);
  rows.forEach(({ places, weights }, y) => {
    for (let x = 0; x < width; x++) {
      let total = 0;
      for (let each = 0; each < 4; each++) total += lines[places[each] * width + x] * weights[each];
      made.values[y * width + x] = clip(Math.floor(total / WEIGHT_STEPS ** 2 + 0.5), 0, 255);
    }
  });
  return made;
}

/** Return for each new pixel the four old ones that it is made of, and their weights. */
function cubicWeights(side, newSide) {
  return Array.from({ length: newSide }, (_, place) => {
    const middle = Math.fround((place + 0.5) * (side / newSide) - 0.5);
    const first = Math.floor(middle);
    const x = Math.fround(middle - first);
    const weights = [
      ((CUBIC_A * (x + 1) - 5 * CUBIC_A) * (x + 1) + 8 * CUBIC_A) * (x + 1) - 4 * CUBIC_A,
      ((CUBIC_A + 2) * x - (CUBIC_A + 3)) * x * x + 1,
      ((CUBIC_A + 2) * (1 - x) - (CUBIC_A + 3)) * (1 - x) * (1 - x) + 1,
    ];
    weights.push(1 - weights[0] - weights[1] - weights[2]);
    return {
      places: [-1, 0, 1, 2].map((step) => clip(first + step, 0, side - 1)),
      weights: weights.map((weight) => rint(weight * WEIGHT_STEPS)),
    };
  });
}
