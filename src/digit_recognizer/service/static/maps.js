// Pictures of values: maps, kernels and contributions as colours; sheets of many; choosing one of them.

const GAP_PX = 1; // between two maps of a sheet
const MAX_LARGE_MAPS = 64; // more maps are shown in 16 columns instead of 8, where there is room
const MAP_GAMMA = 0.7; // brightens the faint parts of maps
const NARROW = matchMedia("(max-width: 40rem)");
const DARK = matchMedia("(prefers-color-scheme: dark)");
// From the lowest to the highest value of a map, and from the lowest to the highest weight, 0 in the middle.
const GREYS = [[0, 0, 0], [255, 255, 255]];
const MAP_COLOURS = [[14, 18, 36], [28, 52, 110], [20, 116, 156], [78, 186, 160], [250, 236, 150]];
const WEIGHT_COLOURS = [[40, 104, 190], [150, 186, 226], [246, 246, 244], [240, 178, 116], [204, 92, 10]];
const DARK_WEIGHT_COLOURS = [[88, 166, 255], [44, 84, 134], [30, 36, 44], [140, 80, 32], [255, 150, 66]];

/** Interpolate 256 colours, as RGBA bytes, between a few. */
function ramp(stops, exponent = 1) {
  const table = new Uint8ClampedArray(4 * 256);
  for (let level = 0; level < 256; level++) {
    const place = (level / 255) ** exponent * (stops.length - 1);
    const lower = Math.min(Math.floor(place), stops.length - 2);
    for (let part = 0; part < 3; part++) {
      table[4 * level + part] = stops[lower][part] + (place - lower) * (stops[lower + 1][part] - stops[lower][part]);
    }
    table[4 * level + 3] = 255;
  }
  return table;
}

const RAMPS = {
  image: ramp(GREYS),
  map: ramp(MAP_COLOURS, MAP_GAMMA),
  weight: ramp(WEIGHT_COLOURS),
  "dark weight": ramp(DARK_WEIGHT_COLOURS),
};

function coloursOf(kind) {
  return RAMPS[kind === "weight" && DARK.matches ? "dark weight" : kind];
}

/** Whether the page is as narrow as on a phone. */
export const isNarrow = () => NARROW.matches;

/** Call a function when colours or columns of sheets change. */
export function onLook(changed) {
  for (const query of [DARK, NARROW]) query.addEventListener("change", changed);
}

/**
 * Return values as levels: 0 to `most` as 0 to 255, for `kind` "weight" from minus to plus `most`; an exponent below
 * 1 brightens the faint ones.
 */
export function levelsOf(values, most, kind, exponent = 1) {
  const [zero, steps] = kind === "weight" ? [128, 127] : [0, 255];
  return Uint8ClampedArray.from(values, (value) => (most > 0 ? zero + Math.sign(value) * Math.abs(value / most) ** exponent * steps : zero));
}

function paint(pixels, levels, colours, { from = 0, width, height, left = 0, top = 0 }) {
  for (let y = 0; y < height; y++) {
    for (let x = 0, to = 4 * ((top + y) * pixels.width + left); x < width; x++, from++, to += 4) {
      const colour = 4 * levels[from];
      for (let part = 0; part < 4; part++) pixels.data[to + part] = colours[colour + part];
    }
  }
}

/** Show levels, 0 to 255, as a picture of its own. */
export function showLevels(canvas, levels, width, height, kind) {
  if (canvas.width !== width || canvas.height !== height) [canvas.width, canvas.height] = [width, height];
  const context = canvas.getContext("2d");
  const pixels = context.createImageData(width, height);
  paint(pixels, levels, coloursOf(kind), { width, height });
  context.putImageData(pixels, 0, 0);
}

/** Many small pictures on one canvas, in rows. */
export class ContactSheet {
  constructor(canvas, number, height, width, kind) {
    Object.assign(this, { canvas, number, height, width, kind });
    this.levels = new Uint8Array(number * height * width);
    this.arrange();
  }

  arrange() {
    const { number, height, width } = this;
    this.columns = Math.min(number, number > MAX_LARGE_MAPS && !NARROW.matches ? 16 : 8);
    this.rows = Math.ceil(number / this.columns);
    this.canvas.width = this.columns * (width + GAP_PX) - GAP_PX;
    this.canvas.height = this.rows * (height + GAP_PX) - GAP_PX;
    this.context = this.canvas.getContext("2d");
    this.pixels = this.context.createImageData(this.canvas.width, this.canvas.height);
  }

  show(levels = this.levels) {
    this.levels = levels;
    const { width, height } = this;
    for (let index = 0; index < this.number; index++) {
      const place = { left: (index % this.columns) * (width + GAP_PX), top: Math.floor(index / this.columns) * (height + GAP_PX) };
      paint(this.pixels, levels, coloursOf(this.kind), { from: index * width * height, width, height, ...place });
    }
    this.context.putImageData(this.pixels, 0, 0);
  }

  of(index) {
    const length = this.width * this.height;
    return this.levels.subarray(index * length, (index + 1) * length);
  }

  /** Put a frame around one of the pictures. */
  frame(box, index) {
    const [across, down] = [this.canvas.width, this.canvas.height];
    const left = (index % this.columns) * (this.width + GAP_PX);
    const top = Math.floor(index / this.columns) * (this.height + GAP_PX);
    putFrame(box, { left, top, width: this.width, height: this.height }, across, down);
  }
}

/** Lay a frame over a part of a picture that has `across` × `down` pixels. */
export function putFrame(box, { left, top, width, height }, across, down) {
  box.style.left = `${(100 * left) / across}%`;
  box.style.top = `${(100 * top) / down}%`;
  box.style.width = `${(100 * width) / across}%`;
  box.style.height = `${(100 * height) / down}%`;
}

/**
 * Let the user choose one of `columns` × `rows` cells of a canvas, of which the first `number` count, with a pointer
 * or the arrow keys.
 *
 * `grid()` returns {columns, rows, number, at}, `at` being the chosen one; `choose(index, isMeant)` is called for each
 * cell that the mouse passes, too, with `isMeant` false; `left()` when the mouse leaves.
 */
export function choosable(canvas, grid, choose, left = () => {}) {
  const at = ({ clientX, clientY }) => {
    const { left: x, top: y, width, height } = canvas.getBoundingClientRect();
    const { columns, rows, number } = grid();
    const [column, row] = [Math.floor(((clientX - x) / width) * columns), Math.floor(((clientY - y) / height) * rows)];
    const index = row * columns + column;
    return column >= 0 && column < columns && row >= 0 && index < number ? index : null;
  };
  const look = (event, isMeant) => {
    const index = at(event);
    if (index !== null) choose(index, isMeant);
  };
  canvas.addEventListener("pointerdown", (event) => event.button === 0 && look(event, true));
  canvas.addEventListener("pointermove", (event) => look(event, event.buttons === 1));
  canvas.addEventListener("pointerleave", (event) => event.pointerType === "mouse" && left());
  canvas.addEventListener("keydown", (event) => {
    const { columns, number, at: before } = grid();
    const here = before ?? Math.floor(number / 2);
    const steps = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -columns, ArrowDown: columns, Home: -here, End: number - 1 - here };
    if (!(event.key in steps)) return;
    event.preventDefault();
    choose(Math.min(Math.max(before === null ? here : here + steps[event.key], 0), number - 1), true);
  });
}
