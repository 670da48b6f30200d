// The inside of the network for one digit: input, feature maps, filters, saliency.

import { bytesOf } from "./service.js";

const SIDE = 28; // pixels along each side of an image
const GAP_PX = 1; // between two maps
const MAX_LARGE_MAPS = 64; // more maps are shown in 16 columns instead of 8
const MAP_GAMMA = 0.7; // brightens the faint parts of maps
const MARGIN_PX = 8; // around a digit's box in the enlarged strokes
const ZOOMED_MAP_PX = 168;
const ZOOMED_FILTER_PX = 72;
// From the lowest to the highest value of a map, and from the lowest to the highest weight of a filter.
const MAP_COLOURS = [[14, 18, 36], [28, 52, 110], [20, 116, 156], [78, 186, 160], [250, 236, 150]];
const FILTER_COLOURS = [[40, 104, 190], [150, 186, 226], [246, 246, 244], [240, 178, 116], [204, 92, 10]];

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

const MAP_RAMP = ramp(MAP_COLOURS, MAP_GAMMA);
const FILTER_RAMP = ramp(FILTER_COLOURS);

/** A sheet sheet: many small pictures on one canvas, in rows. */
class ContactSheet {
  constructor(canvas, number, height, width, colours) {
    Object.assign(this, { canvas, number, height, width, colours });
    this.columns = Math.min(number, number > MAX_LARGE_MAPS ? 16 : 8);
    this.rows = Math.ceil(number / this.columns);
    canvas.width = this.columns * (width + GAP_PX) - GAP_PX;
    canvas.height = this.rows * (height + GAP_PX) - GAP_PX;
    this.context = canvas.getContext("2d");
    this.pixels = this.context.createImageData(canvas.width, canvas.height);
    this.levels = new Uint8Array(number * height * width);
  }

  show(levels) {
    this.levels = levels;
    for (let index = 0; index < this.number; index++) {
      this.paint(this.pixels, index, (index % this.columns) * (this.width + GAP_PX), Math.floor(index / this.columns) * (this.height + GAP_PX));
    }
    this.context.putImageData(this.pixels, 0, 0);
  }

  paint(pixels, index, left, top) {
    const { width, height, levels, colours } = this;
    for (let y = 0, from = index * width * height; y < height; y++) {
      for (let x = 0, to = 4 * ((top + y) * pixels.width + left); x < width; x++, from++, to += 4) {
        const colour = 4 * levels[from];
        for (let part = 0; part < 4; part++) pixels.data[to + part] = colours[colour + part];
      }
    }
  }

  /** Draw one of the pictures alone. */
  enlarge(index, canvas, side) {
    canvas.width = this.width;
    canvas.height = this.height;
    const longest = Math.max(this.width, this.height);
    canvas.style.width = `${(side * this.width) / longest}px`;
    canvas.style.height = `${(side * this.height) / longest}px`;
    const context = canvas.getContext("2d");
    const pixels = context.createImageData(this.width, this.height);
    this.paint(pixels, index, 0, 0);
    context.putImageData(pixels, 0, 0);
  }

  /** Return the picture at a point of the screen, or null. */
  at(clientX, clientY) {
    const { left, top, width, height } = this.canvas.getBoundingClientRect();
    const column = Math.floor(((clientX - left) / width) * this.columns);
    const row = Math.floor(((clientY - top) / height) * this.rows);
    const index = row * this.columns + column;
    const isInside = column >= 0 && row >= 0 && column < this.columns && row < this.rows;
    return isInside && index < this.number ? index : null;
  }

  /** Return the place of a picture on the screen. */
  place(index) {
    const { left, top, width, height } = this.canvas.getBoundingClientRect();
    const [cellWidth, cellHeight] = [width / this.columns, height / this.rows];
    const [x, y] = [left + (index % this.columns) * cellWidth, top + Math.floor(index / this.columns) * cellHeight];
    return { left: x, top: y, right: x + cellWidth, bottom: y + cellHeight, width: cellWidth, height: cellHeight };
  }
}

/** One convolution: its feature maps and its filters. */
class Layer {
  constructor(parent, kernels, number, loupe) {
    this.name = kernels.name;
    this.title = `Convolution ${number}`;
    this.kernels = kernels;
    this.loupe = loupe;
    this.maps = null;
    this.at = 0;
    const { canvases, size } = layerMarkup(parent, this.title, kernels);
    [this.mapCanvas, this.filterCanvas] = canvases;
    this.size = size;
    this.filters = new ContactSheet(this.filterCanvas, kernels.outputs, kernels.height, kernels.width, FILTER_RAMP);
    this.filters.show(bytesOf(kernels.kernels));
    this.follow(this.mapCanvas, () => this.maps);
    this.follow(this.filterCanvas, () => this.filters);
    this.mapCanvas.addEventListener("keydown", (event) => this.step(event));
    this.mapCanvas.addEventListener("focus", () => this.mapCanvas.matches(":focus-visible") && this.look(this.at));
    this.mapCanvas.addEventListener("blur", () => this.loupe.close(this));
  }

  show({ height, width, channels, maps }) {
    if (this.maps?.height !== height || this.maps?.width !== width || this.maps?.number !== channels) {
      this.maps = new ContactSheet(this.mapCanvas, channels, height, width, MAP_RAMP);
      this.size.textContent = `${channels} maps of ${width}×${height}`;
    }
    this.maps.show(maps === null ? new Uint8Array(channels * height * width) : bytesOf(maps));
    if (this.loupe.layer === this) this.loupe.refresh();
  }

  follow(canvas, sheet) {
    const look = (event) => {
      const index = sheet()?.at(event.clientX, event.clientY) ?? null;
      if (index !== null) this.look(index, sheet());
    };
    canvas.addEventListener("pointermove", look);
    canvas.addEventListener("pointerdown", look);
    canvas.addEventListener("pointerleave", (event) => event.pointerType === "mouse" && this.loupe.close(this));
  }

  look(index, sheet = this.maps) {
    this.at = index;
    this.mapCanvas.setAttribute("aria-valuenow", index + 1);
    this.mapCanvas.setAttribute("aria-valuetext", `${this.heading(index)} ${this.words(index)}`);
    this.loupe.open(this, sheet ?? this.filters);
  }

  step(event) {
    const columns = this.maps?.columns ?? 8;
    const steps = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -columns, ArrowDown: columns, Home: -this.at, End: this.kernels.outputs - 1 - this.at };
    if (!(event.key in steps)) return;
    event.preventDefault();
    this.look(Math.min(Math.max(this.at + steps[event.key], 0), this.kernels.outputs - 1));
  }

  heading(index) {
    return `${this.title}, map ${index + 1} of ${this.kernels.outputs}.`;
  }

  words(index) {
    const { inputs, width, height } = this.kernels;
    const size = this.maps ? `${this.maps.width}×${this.maps.height} values, bright` : "Bright";
    const input = inputs === 1 ? "the image" : `the ${inputs} maps of the previous layer (shown: the mean)`;
    const values = inputs === 1 ? "ink" : "bright values";
    return (
      `${size} where the filter responds.${this.strength(index)} The ${width}×${height} filter slides over ${input}: ` +
      `${values} on orange strengthen the response, on blue they weaken it.`
    );
  }

  strength(index) {
    if (!this.maps) return "";
    const length = this.maps.width * this.maps.height;
    const own = this.maps.levels.subarray(index * length, (index + 1) * length);
    const most = Math.round((100 * own.reduce((best, level) => Math.max(best, level), 0)) / 255);
    return most === 0 ? " It does not respond to this digit." : ` Its strongest response is ${most}% of the layer’s maximum.`;
  }
}

function layerMarkup(parent, title, { outputs, width, height }) {
  const make = (name, className, text) => {
    const made = document.createElement(name);
    if (className) made.className = className;
    if (text) made.textContent = text;
    return made;
  };
  const [figure, caption, heading] = [make("figure", "layer"), make("figcaption"), make("h3", "", title)];
  const size = make("span", "soft", `${outputs} maps`);
  const [maps, filters] = [make("canvas", "maps"), make("canvas", "filters")];
  maps.tabIndex = 0;
  for (const [name, value] of Object.entries({
    role: "slider", "aria-label": `${title}: which map is enlarged`, "aria-valuemin": 1, "aria-valuemax": outputs,
    "aria-valuenow": 1, "aria-valuetext": `map 1 of ${outputs}`,
  })) maps.setAttribute(name, value);
  filters.setAttribute("role", "img");
  filters.setAttribute("aria-label", `The ${outputs} filters of ${title.toLowerCase()}, ${width} by ${height}, in the same order`);
  caption.append(heading, size);
  figure.append(caption, maps, make("p", "soft", `Filters, ${width}×${height}, in the same order`), filters);
  parent.append(figure);
  return { canvases: [maps, filters], size };
}

/** Enlarges and explains the map under the pointer. */
class Loupe {
  constructor() {
    this.box = document.getElementById("loupe");
    this.map = document.getElementById("loupe-map");
    this.filter = document.getElementById("loupe-filter");
    this.text = document.getElementById("loupe-words");
    this.title = document.getElementById("loupe-title");
    this.layer = null;
    document.addEventListener("keydown", (event) => {
      if (event.key !== "Escape" || this.layer === null) return;
      event.stopImmediatePropagation();
      this.close(this.layer);
    }, { capture: true });
    document.addEventListener("pointerdown", (event) => {
      if (this.layer && !event.target.matches(".layer canvas")) this.close(this.layer);
    });
    addEventListener("scroll", () => this.layer && this.put(), { passive: true });
  }

  open(layer, sheet) {
    Object.assign(this, { layer, sheet });
    this.refresh();
    this.box.hidden = false;
    this.put();
  }

  refresh() {
    const { layer } = this;
    this.map.hidden = layer.maps === null;
    layer.maps?.enlarge(layer.at, this.map, ZOOMED_MAP_PX);
    layer.filters.enlarge(layer.at, this.filter, ZOOMED_FILTER_PX);
    this.title.textContent = layer.heading(layer.at);
    this.text.textContent = layer.words(layer.at);
  }

  /** Place the enlarged map above the small one, or below if there is no room. */
  put() {
    const cell = this.sheet.place(this.layer.at);
    const { offsetWidth: width, offsetHeight: height } = this.box;
    const space = 10;
    const above = cell.top - height - space;
    const top = above >= space ? above : Math.min(cell.bottom + space, innerHeight - height - space);
    const left = Math.min(Math.max(cell.left + cell.width / 2 - width / 2, space), document.documentElement.clientWidth - width - space);
    this.box.style.transform = `translate(${Math.round(left)}px, ${Math.round(Math.max(top, space))}px)`;
  }

  close(layer) {
    if (this.layer !== layer) return;
    this.layer = null;
    this.box.hidden = true;
  }
}

/** The section "Inside the network". */
export class Inside {
  constructor() {
    this.image = document.getElementById("image");
    this.saliency = document.getElementById("saliency");
    this.parent = document.getElementById("layers");
    this.loupe = new Loupe();
    this.layers = [];
    this.glow = null;
  }

  /** Build the layers from the answer of /v1/filters. */
  build(filters) {
    this.parent.replaceChildren();
    this.layers = filters.layers.map((kernels, index) => new Layer(this.parent, kernels, index + 1, this.loupe));
  }

  showImage(pixels) {
    const context = this.image.getContext("2d");
    const made = context.createImageData(SIDE, SIDE);
    pixels.forEach((level, place) => made.data.set([level, level, level, 255], 4 * place));
    context.putImageData(made, 0, 0);
  }

  showLayers(explained) {
    for (const layer of explained.layers) this.layers.find(({ name }) => name === layer.name)?.show(layer);
  }

  /** Show empty maps in the right number and size. */
  empty() {
    this.showImage(new Uint8Array(SIDE * SIDE));
    for (const layer of this.layers) {
      if (layer.maps) layer.show({ ...pick(layer.maps), maps: null });
    }
    this.showStrokes(null);
  }

  /**
   * Show a digit's strokes, with the saliency over them.
   *
   * `source` is a canvas or a picture, `box` the digit's place in it, `pixels` its 28×28 image, `saliency` 28×28
   * levels or null.
   */
  showStrokes(source, box, pixels, saliency) {
    const { context, width, height } = contextOf(this.saliency);
    context.clearRect(0, 0, width, height);
    if (source === null) return;
    const scale = (0.8 * width) / Math.max(box.width, box.height);
    const [left, top] = [(width - box.width * scale) / 2, (height - box.height * scale) / 2];
    const reach = { x: left / scale, y: top / scale };
    context.save();
    context.beginPath();
    context.rect(left - MARGIN_PX, top - MARGIN_PX, box.width * scale + 2 * MARGIN_PX, box.height * scale + 2 * MARGIN_PX);
    context.clip();
    context.imageSmoothingQuality = "high";
    context.drawImage(source, box.x - reach.x, box.y - reach.y, width / scale, height / scale, 0, 0, width, height);
    context.restore();
    if (saliency === null) return;
    const ink = extent(pixels);
    const heat = heatmap(saliency);
    const [across, down] = [(box.width * scale) / ink.width, (box.height * scale) / ink.height];
    context.save();
    context.globalCompositeOperation = "multiply";
    context.drawImage(heat, left - ink.left * across, top - ink.top * down, SIDE * across, SIDE * down);
    context.globalCompositeOperation = "screen";
    context.drawImage(heat.light, left - ink.left * across, top - ink.top * down, SIDE * across, SIDE * down);
    context.restore();
  }
}

function pick({ height, width, number }) {
  return { height, width, channels: number };
}

function contextOf(canvas) {
  return { context: canvas.getContext("2d"), width: canvas.width, height: canvas.height };
}

/** The bounding box of the ink in an image. */
function extent(pixels) {
  let [left, top, right, bottom] = [SIDE, SIDE, 0, 0];
  pixels.forEach((level, place) => {
    if (level < 64) return;
    const [x, y] = [place % SIDE, Math.floor(place / SIDE)];
    [left, right, top, bottom] = [Math.min(left, x), Math.max(right, x + 1), Math.min(top, y), Math.max(bottom, y + 1)];
  });
  return right > left ? { left, top, width: right - left, height: bottom - top } : { left: 4, top: 4, width: 20, height: 20 };
}

/** Saliency in orange: one canvas that tints paper, and one, `light`, that tints ink. */
function heatmap(saliency) {
  const [sheet, light] = [document.createElement("canvas"), document.createElement("canvas")];
  for (const [canvas, colour, strength] of [[sheet, [255, 150, 40], 0.75], [light, [255, 120, 0], 1]]) {
    canvas.width = canvas.height = SIDE;
    const context = canvas.getContext("2d");
    const made = context.createImageData(SIDE, SIDE);
    saliency.forEach((level, place) => made.data.set([...colour, level * strength], 4 * place));
    context.putImageData(made, 0, 0);
  }
  sheet.light = light;
  return sheet;
}
