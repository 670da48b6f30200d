// A page, or ink: `height` rows of `width` values in one array, `values`.

/** Return a grid of zeros; `kind` is the class of its array, such as `Uint8Array`. */
export function makeGrid(height, width, kind) {
  return { height, width, values: new kind(height * width) };
}

/** Return a copy of the part of a grid from `top` and `left` to before `bottom` and `right`, inside the grid. */
export function part(grid, top, left, bottom, right) {
  [bottom, right] = [Math.min(bottom, grid.height), Math.min(right, grid.width)];
  const made = makeGrid(Math.max(0, bottom - top), Math.max(0, right - left), grid.values.constructor);
  for (let row = 0; row < made.height; row++) {
    const start = (top + row) * grid.width + left;
    made.values.set(grid.values.subarray(start, start + made.width), row * made.width);
  }
  return made;
}

/** Return a grid of the same size with a function of each value; `kind` is the class of its array. */
export function map(grid, kind, change) {
  const made = makeGrid(grid.height, grid.width, kind);
  for (let place = 0; place < made.values.length; place++) made.values[place] = change(grid.values[place]);
  return made;
}

/** Return a grid turned clockwise by 90, 180 or 270 degrees. */
export function rotate(grid, degrees) {
  const { height, width } = grid;
  const made = degrees === 180 ? makeGrid(height, width, grid.values.constructor) : makeGrid(width, height, grid.values.constructor);
  for (let row = 0, from = 0; row < height; row++) {
    for (let column = 0; column < width; column++, from++) {
      const [down, across] = { 90: [column, height - 1 - row], 180: [height - 1 - row, width - 1 - column], 270: [width - 1 - column, row] }[degrees];
      made.values[down * made.width + across] = grid.values[from];
    }
  }
  return made;
}

/** Return the values of the first and last rows and columns. */
export function edges({ height, width, values }) {
  const columns = Array.from({ length: height }, (_, row) => [values[row * width], values[(row + 1) * width - 1]]);
  return [...values.subarray(0, width), ...values.subarray((height - 1) * width), ...columns.flat()];
}
