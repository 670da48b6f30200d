// Which parts of a page are neither blank nor read yet. In Python: recognition/unread.py.

const BLOCKS = 128; // along the longer side of a page, at most
const MIN_BLOCK_PX = 4; // the side of a block, at least: in a single pixel nothing differs
const BLANK_RANGE = 8; // of 255; where grey values differ less in a block and those around it, it is blank
const NOISE_RANGES = 8; // of normal noise, in thousands of pixels, over the median difference of neighbours
const NOISE_ROWS = 4; // every fourth row shows how much neighbouring pixels differ
const MARGIN_FRACTION = 0.25; // of the height of a character that is read: its strokes may leave its box

/** A rectangle of pixels. */
export class Area {
  constructor(left, top, right, bottom) {
    Object.assign(this, { left, top, right, bottom });
  }

  contains(column, row) {
    return this.left <= column && column < this.right && this.top <= row && row < this.bottom;
  }

  /** Return the area in a page of another size. */
  scaled(across, down) {
    return new Area(Math.floor(this.left * across), Math.floor(this.top * down), Math.ceil(this.right * across), Math.ceil(this.bottom * down));
  }

  /** Return the area with a margin, inside a page. */
  grown(margin, { height, width }) {
    return new Area(
      Math.max(this.left - margin, 0),
      Math.max(this.top - margin, 0),
      Math.min(this.right + margin, width),
      Math.min(this.bottom + margin, height),
    );
  }
}

/** The blocks of a page that are neither blank nor read; noise may count as blank. */
export class UnreadParts {
  constructor(page, skipsNoise = false) {
    this.page = page;
    this.side = Math.max(MIN_BLOCK_PX, Math.ceil(Math.max(page.height, page.width) / BLOCKS));
    [this.rows, this.columns] = [page.height, page.width].map((side) => Math.ceil(side / this.side));
    const { brightest, darkest } = this.extremes();
    const least = BLANK_RANGE + (skipsNoise ? NOISE_RANGES * noiseOf(page) : 0);
    this.unread = brightest.map((_, block) => this.range(block, brightest, darkest) >= least);
  }

  /** Return the brightest and the darkest pixel of each block. */
  extremes() {
    const { page, side, rows, columns } = this;
    const [brightest, darkest] = [new Uint8Array(rows * columns), new Uint8Array(rows * columns).fill(255)];
    for (let y = 0, place = 0; y < page.height; y++) {
      const row = Math.floor(y / side) * columns;
      for (let block = row, x = 0; x < page.width; block++) {
        let [most, least] = [brightest[block], darkest[block]];
        for (const end = Math.min(x + side, page.width); x < end; x++, place++) {
          const level = page.values[place];
          if (level > most) most = level;
          if (level < least) least = level;
        }
        [brightest[block], darkest[block]] = [most, least];
      }
    }
    return { brightest, darkest };
  }

  /** Return by how much grey values differ in a block and those around it: an edge may lie between two. */
  range(block, brightest, darkest) {
    const [row, column] = [Math.floor(block / this.columns), block % this.columns];
    let [most, least] = [0, 255];
    for (let y = Math.max(row - 1, 0); y <= Math.min(row + 1, this.rows - 1); y++) {
      for (let x = Math.max(column - 1, 0); x <= Math.min(column + 1, this.columns - 1); x++) {
        most = Math.max(most, brightest[y * this.columns + x]);
        least = Math.min(least, darkest[y * this.columns + x]);
      }
    }
    return most - least;
  }

  /** Return the smallest area of the page that holds all of them, null if there are none. */
  area() {
    let [left, top, right, bottom] = [this.columns, this.rows, 0, 0];
    this.unread.forEach((isUnread, block) => {
      if (!isUnread) return;
      const [row, column] = [Math.floor(block / this.columns), block % this.columns];
      [left, right, top, bottom] = [Math.min(left, column), Math.max(right, column + 1), Math.min(top, row), Math.max(bottom, row + 1)];
    });
    if (right === 0) return null;
    const { side, page } = this;
    return new Area(left * side, top * side, Math.min(right * side, page.width), Math.min(bottom * side, page.height));
  }

  /** Take the boxes of characters that are read. */
  remove(boxes) {
    for (const [left, top, right, bottom] of boxes) {
      const margin = MARGIN_FRACTION * (bottom - top);
      const [rows, columns] = [[top, bottom], [left, right]].map(([start, stop]) => [
        Math.max(0, Math.floor((start - margin) / this.side)),
        Math.ceil((stop + margin) / this.side),
      ]);
      for (let row = rows[0]; row < Math.min(rows[1], this.rows); row++) {
        for (let column = columns[0]; column < Math.min(columns[1], this.columns); column++) this.unread[row * this.columns + column] = 0;
      }
    }
  }
}

/** Return the median difference of neighbouring pixels, which strokes hardly change. */
function noiseOf({ height, width, values }) {
  const counts = new Uint32Array(256);
  for (let row = 0; row < height; row += NOISE_ROWS) {
    for (let place = row * width + 1; place < (row + 1) * width; place++) counts[Math.abs(values[place] - values[place - 1])]++;
  }
  const half = counts.reduce((sum, count) => sum + count, 0) / 2;
  let sum = 0;
  return counts.findIndex((count) => (sum += count) >= half);
}

/** Return whether a page shows nothing. */
export function isBlank(page) {
  return new UnreadParts(page).area() === null;
}
