// What a map is computed from: its inputs, each with its kernel and what it contributes.

import { levelsOf, putFrame, showLevels } from "./maps.js";
import { Products } from "./products.js";
import { element } from "./view.js";

const MAX_TERMS = 4; // that are shown; the others are added up
const CONTRIBUTION_GAMMA = 0.6; // brightens the faint ones

/** Return a number with two decimals and a real minus. */
export function figure(value) {
  return value.toFixed(2).replace("-0.00", "0.00").replace("-", "−");
}

function added(value) {
  return figure(value).startsWith("−") ? `− ${figure(-value)}` : `+ ${figure(value)}`;
}

function framed() {
  const [frame, canvas, mark] = [element("span", "frame"), element("canvas"), element("i", "mark")];
  frame.append(canvas, mark);
  return { frame, canvas, mark };
}

/** One row: input × kernel = contribution. */
class Term {
  constructor(choose) {
    this.item = element("li");
    this.row = element(choose ? "button" : "span", "term");
    if (choose) {
      this.row.type = "button";
      this.row.addEventListener("click", () => choose(this.input));
    }
    this.name = element("span", "name");
    this.from = framed();
    this.kernel = element("canvas", "kernel");
    this.result = framed();
    this.value = element("b");
    this.signs = [element("i", "sign", "×"), element("i", "sign", "=")];
    this.row.append(this.name, this.from.frame, this.signs[0], this.kernel, this.signs[1], this.result.frame, this.value);
    this.item.append(this.row);
    this.single = [this.from.frame, this.signs[0], this.kernel]; // what belongs to one input
  }
}

export class Terms {
  /** `choose(map)` is called when the user selects an input that is a map. */
  constructor(layer, choose) {
    this.layer = layer;
    this.list = element("ol", layer.inputs === 1 ? "terms single" : "terms");
    const isMap = layer.input !== null && layer.input !== "image";
    const number = layer.weights === null ? 0 : Math.min(layer.inputs, MAX_TERMS);
    this.rows = Array.from({ length: number }, () => new Term(isMap ? choose : null));
    this.rest = layer.inputs > MAX_TERMS ? new Term(null) : null;
    for (const each of this.rest?.single ?? []) each.classList.add("none");
    this.products = number ? new Products(layer, figure) : null; // of the first row
    this.bias = element("li", "bias");
    if (number) this.list.append(...[...this.rows, ...(this.rest ? [this.rest] : [])].map(({ item }) => item), this.bias);
  }

  words(map) {
    const { inputs, width, height, weights, activation } = this.layer;
    if (weights === null) return "";
    const zero = activation === "Relu" ? " Negative sums become 0." : "";
    if (inputs === 1) return `Filter ${map + 1} slides over the image.${zero}`;
    const most = inputs > MAX_TERMS ? ` The ${MAX_TERMS} that contribute most are shown.` : "";
    return `Filter ${map + 1} has ${inputs} kernels of ${width}×${height}, one for each of its inputs; their results are added up.${zero}${most}`;
  }

  /** Show the inputs that contribute most to a map. */
  show(values, index, map, contributions) {
    this.map = map;
    this.sizes = values.maps[index];
    this.contributions = contributions;
    if (!contributions) return;
    const { layer } = this;
    const input = values.inputs[index];
    const { width, height } = this.sizes;
    const rest = contributions.slice(this.rows.length);
    this.others = rest.reduce((sum, each) => sum.map((value, place) => value + each.values[place]), new Float32Array(width * height));
    const shown = [...contributions.slice(0, this.rows.length).map((each) => each.values), ...(this.rest ? [this.others] : [])];
    const most = Math.max(...shown.map((each) => each.reduce((best, value) => Math.max(best, Math.abs(value)), 0)));
    const weight = layer.weight_scales[map];
    this.input = input;
    this.rows.forEach((row, place) => {
      const { input: number, place: kernel, values: each } = contributions[place];
      row.input = number;
      row.name.textContent = input.from !== null ? `Map ${number + 1}` : layer.inputs === 1 ? "Image" : `Input ${number + 1}`;
      row.row.title = input.from !== null ? `Show map ${number + 1} in the step before` : "";
      showLevels(row.from.canvas, inputLevels(input, number), input.width, input.height, input.channels === 1 ? "image" : "map");
      showLevels(row.kernel, levelsOf(layer.kernel(map, kernel), weight, "weight"), layer.width, layer.height, "weight");
      showLevels(row.result.canvas, levelsOf(each, most, "weight", CONTRIBUTION_GAMMA), width, height, "weight");
    });
    if (this.rest) {
      this.rest.name.textContent = `${rest.length} more`;
      showLevels(this.rest.result.canvas, levelsOf(this.others, most, "weight", CONTRIBUTION_GAMMA), width, height, "weight");
    }
    this.offset = layer.bias[map];
    this.bias.replaceChildren(element("span", "name", "Bias"), element("b", "", added(this.offset)));
  }

  /** Show what each input contributes in one place; return the sum, null if it is not known. */
  look(place, row, column) {
    if (!this.contributions) return null;
    const { width, height } = this.sizes;
    const cell = { left: column, top: row, width: 1, height: 1 };
    this.rows.forEach((term, index) => {
      putFrame(term.from.mark, this.layer.window(row, column), this.input.width, this.input.height);
      putFrame(term.result.mark, cell, width, height);
      const value = this.contributions[index].values[place];
      term.value.textContent = index === 0 ? figure(value) : added(value);
    });
    if (this.rest) {
      putFrame(this.rest.result.mark, cell, width, height);
      this.rest.value.textContent = added(this.others[place]);
    }
    const [first] = this.contributions;
    const { layer, input } = this;
    this.products.show(this.rows[0].name.textContent, layer.under(input, first.input, row, column), layer.kernel(this.map, first.place));
    return this.contributions.reduce((sum, { values }) => sum + values[place], this.offset);
  }
}

/** Return an input of a layer as levels, 255 for the highest value of all of them. */
function inputLevels(input, number) {
  const length = input.width * input.height;
  const own = input.values.subarray(number * length, (number + 1) * length);
  input.most ??= input.channels === 1 ? 1 : input.values.reduce((best, value) => Math.max(best, value), 0);
  return levelsOf(own, input.most, "map");
}
