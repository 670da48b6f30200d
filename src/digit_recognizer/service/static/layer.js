// One convolution of the story: its maps, and how the chosen map is computed.

import { ContactSheet, choosable, isNarrow, levelsOf, putFrame, showLevels } from "./maps.js";
import { element } from "./view.js";
import { Terms, figure } from "./terms.js";

const SLIDE_MS = 60; // per place, while the filter slides over the map

const WHAT_IS_A_FILTER = [
  "What is a filter?",
  "A small table of weights that slides over the image. In each place, every weight is multiplied by the pixel below it, and the products are added up. The sum is one value of the map. Ink below orange weights raises it, ink below blue weights lowers it. The network learned the weights from examples: nobody designed them.",
];
const WHAT_IS_A_MAP = [
  "What is a map?",
  "The values of one filter, in the places where they were computed. A map is bright where the image looks like its filter, and dark elsewhere: it says where something is.",
];
const WHY_KERNELS = [
  "Why does one filter have many kernels?",
  "This layer does not see the image but all maps of the layer before. A filter therefore has a table of weights, a kernel, for each of these maps, and adds up what they find. So it can respond to combinations, such as a stroke that ends below a curve. A kernel alone means little: it only tells how much its map counts, and where.",
];
const WHY_ZERO = [
  "Why do negative sums become 0?",
  "Without a step like this one, called ReLU, several layers could do no more than one: sums of sums are sums. It also keeps maps simple: a filter that does not fit says nothing.",
];

export class LayerStep {
  /** `story` has `choose(index, map)`, `lookAt(index, part)`, called when the user selects a map or a place. */
  constructor(layer, index, story) {
    Object.assign(this, { layer, index, story, map: 0, values: null, isPicked: false, place: 0, sliding: null });
    this.item = element("li", "step layer");
    this.heading();
    const scene = element("div", "scene");
    const side = this.mapsSide();
    const making = this.making();
    (this.layer.inputs === 1 ? making : side).append(this.questions()); // so that both columns are about as high
    scene.append(side, making);
    this.item.append(scene);
  }

  heading() {
    const { title, outputs, height, width, inputs, input } = this.layer;
    this.size = element("span", "soft", `${outputs} maps`);
    const header = element("header");
    header.append(element("h3", "", title), this.size);
    const what = input === "image" || inputs === 1
      ? `${outputs} filters of ${width}×${height} pixels slide over the image. Each draws a map of where the image looks like the filter.`
      : `${outputs} filters slide over the ${inputs} maps of the step before. Each combines what these maps found, and draws a map of its own.`;
    this.item.append(header, element("p", "says", what));
  }

  mapsSide() {
    const { title, outputs, height, width } = this.layer;
    const side = element("div", "side");
    const frame = element("div", "frame");
    this.canvas = element("canvas", "maps");
    this.canvas.tabIndex = 0;
    for (const [name, value] of Object.entries({
      role: "slider", "aria-label": `${title}: the chosen map`, "aria-valuemin": 1, "aria-valuemax": outputs,
      "aria-valuenow": 1, "aria-valuetext": `map 1 of ${outputs}`,
    })) this.canvas.setAttribute(name, value);
    this.rings = element("div", "rings");
    this.chosen = element("i", "ring chosen");
    frame.append(this.canvas, this.rings, this.chosen);
    side.append(frame);
    if (this.layer.inputs === 1) {
      const canvas = element("canvas", "filters");
      canvas.setAttribute("role", "img");
      canvas.setAttribute("aria-label", `The ${outputs} filters of ${title.toLowerCase()}, ${width} by ${height}, in the same order`);
      this.filters = new ContactSheet(canvas, outputs, height, width, "weight");
      this.filterRing = element("i", "ring chosen");
      const box = element("div", "frame");
      box.append(canvas, this.filterRing);
      side.append(element("p", "soft", "The filters, in the same order"), box);
      choosable(canvas, () => ({ ...this.filters, at: this.map }), (map, isMeant) => isMeant && this.story.choose(this.index, map));
    }
    const grid = () => ({ columns: this.sheet?.columns ?? 8, rows: this.sheet?.rows ?? 1, number: outputs, at: this.map });
    choosable(this.canvas, grid, (map, isMeant) => isMeant && this.story.choose(this.index, map));
    return side;
  }

  making() {
    const side = element("div", "making");
    this.title = element("h4");
    this.words = element("p", "soft");
    this.terms = new Terms(this.layer, (map) => this.story.choose(this.values.inputs[this.index].from, map, true));
    const total = element("div", "total");
    const frame = element("div", "frame");
    this.output = element("canvas", "output");
    this.output.tabIndex = 0;
    this.mark = element("i", "mark");
    frame.append(this.output, this.mark);
    this.sum = element("output");
    this.slide = element("button", "quiet slide", "Slide the filter");
    this.slide.type = "button";
    this.slide.addEventListener("click", () => (this.sliding === null ? this.startSliding() : this.stopSliding()));
    total.append(frame, this.sum, this.slide);
    for (const [name, value] of Object.entries({ role: "slider", "aria-valuemin": 1, "aria-valuemax": 1, "aria-valuenow": 1 }))
      this.output.setAttribute(name, value);
    const grid = () => ({ columns: this.maps?.width ?? 1, rows: this.maps?.height ?? 1, number: this.maps ? this.maps.width * this.maps.height : 0, at: this.place });
    choosable(this.output, grid, (place) => {
      this.stopSliding();
      this.look(place);
    });
    const row = element("div", "sum");
    row.append(this.terms.list, total);
    side.append(this.title, this.words, row);
    if (this.terms.products) side.append(this.terms.products.item);
    return side;
  }

  questions() {
    const box = element("div", "questions");
    const { inputs, activation, number } = this.layer;
    const asked = inputs === 1 ? [WHAT_IS_A_FILTER, WHAT_IS_A_MAP] : number === 2 ? [WHY_KERNELS] : [];
    if (activation === "Relu" && number === 1) asked.push(WHY_ZERO);
    for (const [place, [question, answer]] of asked.entries()) {
      const details = element("details");
      details.open = place === 0 && !isNarrow();
      details.append(element("summary", "", question), element("p", "", answer));
      box.append(details);
    }
    return box;
  }

  get maps() {
    return this.values?.maps[this.index] ?? null;
  }

  /** Show the values inside the network for an image; the chosen map is shown by `choose`. */
  show(values) {
    this.stopSliding();
    this.values = values;
    const { channels, height, width, levels } = this.maps;
    if (this.sheet?.height !== height || this.sheet?.width !== width) {
      this.sheet = new ContactSheet(this.canvas, channels, height, width, "map");
      this.size.textContent = `${channels} maps of ${width}×${height}`;
      this.output.setAttribute("aria-valuemax", width * height);
    }
    this.sheet.show(levels);
  }

  /** Show how a map is computed. */
  choose(map) {
    this.map = map;
    const { width, height } = this.maps;
    const { at, value } = this.values.peak(this.index, map);
    this.canvas.setAttribute("aria-valuenow", map + 1);
    this.canvas.setAttribute("aria-valuetext", `map ${map + 1} of ${this.layer.outputs}. ${this.strength(value)}`);
    this.output.setAttribute("aria-label", `Map ${map + 1} of ${this.layer.title.toLowerCase()}: the chosen place`);
    this.sheet.frame(this.chosen, map);
    this.filters?.frame(this.filterRing, map);
    this.title.textContent = `Map ${map + 1} and what it is computed from`;
    this.words.textContent = `${this.strength(value)} ${this.terms.words(map)}`;
    this.contributions = this.values.contributions(this.index, map);
    this.terms.show(this.values, this.index, map, this.contributions);
    showLevels(this.output, this.sheet.of(map), width, height, "map");
    this.place = at;
    this.look(at, false);
  }

  strength(value) {
    if (value === 0) return "It does not respond to this digit.";
    return `Its strongest response is ${Math.round((100 * value) / this.maps.maximum)}% of the layer’s maximum.`;
  }

  /** Show the sum in one place of the chosen map; `isMeant` unless it is the place that comes with the map. */
  look(place, isMeant = true) {
    this.place = place;
    const { width, height } = this.maps;
    const [row, column] = [Math.floor(place / width), place % width];
    putFrame(this.mark, { left: column, top: row, width: 1, height: 1 }, width, height);
    this.output.setAttribute("aria-valuenow", place + 1);
    const sum = this.terms.look(place, row, column);
    const value = this.maps.values[this.map * width * height + place];
    const isCut = sum !== null && sum < 0 && this.layer.activation === "Relu";
    this.sum.textContent = sum === null ? `Value: ${figure(value)}` : isCut ? `Sum: ${figure(sum)}, so 0` : `Sum: ${figure(sum)}`;
    this.output.setAttribute("aria-valuetext", `row ${row + 1}, column ${column + 1}. ${this.sum.textContent}`);
    if (isMeant) this.story.lookAt(this.index, this.layer.part(row, column));
  }

  startSliding() {
    const number = this.maps.width * this.maps.height;
    let place = -1;
    this.slide.textContent = "Stop";
    this.sliding = setInterval(() => {
      if (++place >= number) return this.stopSliding();
      this.look(place);
      showLevels(this.output, this.sheet.of(this.map).map((level, at) => (at <= place ? level : 0)), this.maps.width, this.maps.height, "map");
    }, SLIDE_MS);
  }

  stopSliding() {
    if (this.sliding === null) return;
    clearInterval(this.sliding);
    this.sliding = null;
    this.slide.textContent = "Slide the filter";
    showLevels(this.output, this.sheet.of(this.map), this.maps.width, this.maps.height, "map");
  }

  /** Frame some maps: those that a map of the next layer is computed from, or that respond to a part of the image. */
  frame(maps, kind) {
    this.rings.replaceChildren(...maps.map((map) => {
      const ring = element("i", `ring ${kind}`);
      this.sheet.frame(ring, map);
      return ring;
    }));
  }

  /** Draw again, where colours or columns have changed. */
  redraw() {
    this.filters?.arrange();
    this.filters?.show(levelsOf(this.layer.mean, 255, "image"));
    if (!this.values) return;
    this.sheet.arrange();
    this.sheet.show();
    this.choose(this.map);
  }
}
