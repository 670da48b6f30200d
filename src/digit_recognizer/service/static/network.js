// The network as it is computed: what each input of a convolution contributes to a map, and where it looks.

import { bytesOf } from "./service.js";

export const SIDE = 28; // pixels along each side of an image
const IMAGE = "image"; // the input of a first layer

/** Decode bytes with a sign: 128 is 0, 255 is `scale` of its row. */
function signed(base64, scales) {
  const bytes = bytesOf(base64);
  const length = bytes.length / scales.length;
  return Float32Array.from(bytes, (level, place) => ((level - 128) / 127) * scales[Math.floor(place / length)]);
}

/** A convolution, as /v1/filters describes it. */
class Convolution {
  constructor(answer, number) {
    Object.assign(this, answer, { number, title: `Convolution ${number}` });
    this.weights = answer.weights === null ? null : signed(answer.weights, answer.weight_scales);
    this.mean = bytesOf(answer.kernels);
  }

  /** Return the number of a filter's input among all inputs. */
  inputOf(map, place) {
    const group = Math.floor(map / (this.outputs / this.groups));
    return group * this.inputs + place;
  }

  /** Return the kernel of a filter for one of its inputs. */
  kernel(map, place) {
    const length = this.height * this.width;
    const from = (map * this.inputs + place) * length;
    return this.weights.subarray(from, from + length);
  }

  /** Return what an input contributes to each value of a map. */
  contribution(map, place, input, size) {
    const kernel = this.kernel(map, place);
    const values = input.values.subarray(this.inputOf(map, place) * input.height * input.width);
    const [stride, padding, dilation] = [this.stride, this.padding, this.dilation];
    const found = new Float32Array(size.height * size.width);
    for (let row = 0, to = 0; row < size.height; row++) {
      for (let column = 0; column < size.width; column++, to++) {
        for (let down = 0; down < this.height; down++) {
          const y = row * stride[0] - padding[0] + down * dilation[0];
          if (y < 0 || y >= input.height) continue;
          for (let right = 0; right < this.width; right++) {
            const x = column * stride[1] - padding[1] + right * dilation[1];
            if (x >= 0 && x < input.width) found[to] += kernel[down * this.width + right] * values[y * input.width + x];
          }
        }
      }
    }
    return found;
  }

  /** Return the values of an input that a kernel lies on in one place; 0 beyond the edge. */
  under(input, number, row, column) {
    const { left, top } = this.window(row, column);
    const from = number * input.height * input.width;
    const found = new Float32Array(this.height * this.width);
    for (let place = 0; place < found.length; place++) {
      const y = top + Math.floor(place / this.width) * this.dilation[0];
      const x = left + (place % this.width) * this.dilation[1];
      if (y >= 0 && y < input.height && x >= 0 && x < input.width) found[place] = input.values[from + y * input.width + x];
    }
    return found;
  }

  /** Return the part of an input, in its pixels, that a value of a map is computed from. */
  window(row, column) {
    const { stride, padding, dilation } = this;
    return {
      left: column * stride[1] - padding[1],
      top: row * stride[0] - padding[0],
      width: (this.width - 1) * dilation[1] + 1,
      height: (this.height - 1) * dilation[0] + 1,
    };
  }

  /** Return the part of the image that a value of a map depends on, null if unknown. */
  part(row, column) {
    if (this.field === null) return null;
    const { start, step, size } = this.field;
    const [top, left] = [start[0] + row * step[0], start[1] + column * step[1]];
    return clipped({ left, top, width: size[1], height: size[0] });
  }

  /** Return the index of the value that looks at a pixel of the image most directly, null if unknown. */
  valueAt(x, y, size) {
    if (this.field === null) return null;
    const { start, step, size: field } = this.field;
    const nearest = (pixel, axis, length) =>
      Math.min(Math.max(Math.round((pixel - start[axis] - (field[axis] - 1) / 2) / step[axis]), 0), length - 1);
    return nearest(y, 0, size.height) * size.width + nearest(x, 1, size.width);
  }
}

function clipped({ left, top, width, height }) {
  const [x, y] = [Math.max(left, 0), Math.max(top, 0)];
  return { left: x, top: y, width: Math.min(left + width, SIDE) - x, height: Math.min(top + height, SIDE) - y };
}

/** The layers of a network, from the answer of /v1/filters. */
export class Network {
  constructor({ layers, last_layer: last }) {
    this.layers = layers.map((answer, index) => new Convolution(answer, index + 1));
    this.last = last && { ...last, weights: signed(last.weights, last.weight_scales) };
  }
}

/** The values inside a network for one image, from its pixels and the answer of /v1/explain. */
export class Values {
  constructor(network, pixels, explained) {
    this.network = network;
    this.pixels = pixels;
    this.explained = explained;
    this.image = { channels: 1, height: SIDE, width: SIDE, values: Float32Array.from(pixels, (level) => level / 255) };
    const found = new Map(explained.layers.map((answer) => [answer.name, mapsOf(answer)]));
    this.maps = network.layers.map(({ name }) => found.get(name));
    this.inputs = network.layers.map((layer, index) => this.inputOf(layer, explained.layers[index]));
  }

  /** Return the input of a layer, with the index of the layer that it comes from; null if it is not known. */
  inputOf(layer, answer) {
    if (layer.weights === null) return null;
    if (layer.input === IMAGE) return { ...this.image, from: null };
    const from = this.network.layers.findIndex(({ name }) => name === layer.input);
    if (from >= 0) return { ...this.maps[from], from };
    if (!answer.inputs) return null;
    const { channels, height, width, values, scale } = answer.inputs;
    return { channels, height, width, values: signed(values, [scale]), from: null };
  }

  /**
   * Return what a map is computed from: {input, place, values}, each with its contribution to every value of the map,
   * those first that matter most where the map is highest; null if it is not known.
   */
  contributions(index, map) {
    const [layer, input, maps] = [this.network.layers[index], this.inputs[index], this.maps[index]];
    if (!input) return null;
    const each = Array.from({ length: layer.inputs }, (_, place) => {
      return { input: layer.inputOf(map, place), place, values: layer.contribution(map, place, input, maps) };
    });
    const { at } = this.peak(index, map);
    return each.sort((one, other) => Math.abs(other.values[at]) - Math.abs(one.values[at]));
  }

  /** Return the highest value of a map and where it is. */
  peak(index, map) {
    const { height, width, values } = this.maps[index];
    const own = values.subarray(map * height * width, (map + 1) * height * width);
    const at = own.reduce((best, value, place) => (value > own[best] ? place : best), 0);
    return { value: own[at], at };
  }

  /** Return the maps of a layer by what they are at a pixel of the image, or at most: {map, value}, the highest first. */
  responding(index, pixel) {
    const layer = this.network.layers[index];
    const { channels, height, width, values } = this.maps[index];
    const at = pixel && layer.valueAt(pixel.x, pixel.y, this.maps[index]);
    const valueOf = (map) => (at === null ? this.peak(index, map).value : values[map * height * width + at]);
    const each = Array.from({ length: channels }, (_, map) => ({ map, value: valueOf(map) }));
    return each.filter(({ value }) => value > 0).sort((one, other) => other.value - one.value);
  }

  /** Return what each value of the last hidden layer contributes to a score, and the score; null if it is not known. */
  score(output) {
    const { last } = this.network;
    const { hidden } = this.explained;
    if (!last || !hidden) return null;
    const each = Float32Array.from(hidden, (value, place) => value * last.weights[output * last.inputs + place]);
    return { each, bias: last.bias[output], total: each.reduce((sum, value) => sum + value, last.bias[output]) };
  }
}

function mapsOf({ channels, height, width, maps, maximum }) {
  const levels = bytesOf(maps);
  return { channels, height, width, levels, maximum, values: Float32Array.from(levels, (level) => (level / 255) * maximum) };
}
