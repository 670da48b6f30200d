// The networks in ONNX Runtime: read pages, predict single digits. In Python: recognition/recognizer.py.

import { CharacterFinder } from "./character_finder.js";
import { SIDE } from "./normalise.js";
import { readPage } from "./page_reader.js";
import { REGION_SIDE_PX } from "./region_image.js";
import { readUpright } from "./rotation.js";
import { judge } from "./second_stage.js";

const BATCH_SIZE = 128; // images
const CLASSES = 10;

export class Recognizer {
  /**
   * `Tensor` is ONNX Runtime's class; `reader`, `regions` and `digits` are sessions with the files of these
   * names; `facts` are what the export wrote beside them.
   */
  constructor(Tensor, { reader, regions, digits }, facts) {
    Object.assign(this, { Tensor, reader, regions, digits, facts });
    this.finder = new CharacterFinder((outputs, page) => this.run(reader, outputs, "page", page.values, [page.height, page.width]));
  }

  /** Read all numbers on a page, turned if it lies on its side or upside down. */
  async readPage(page, { isUpright, threshold, onLook }) {
    const { imageWeight, calibration } = this.facts;
    const find = async (each) => judge(each, await this.finder.find(each, onLook), (images) => this.classify(images));
    const predict = (images) => this.predict(images);
    const read = (each) => readPage(each, { find, predict, imageWeight, calibration, threshold });
    return isUpright ? read(page) : readUpright(page, read);
  }

  /** Return for each image of a region the probability that there is a character. */
  async classify(images) {
    const found = [];
    for (let start = 0; start < images.length; start += BATCH_SIZE) {
      const batch = images.slice(start, start + BATCH_SIZE);
      const shape = [batch.length, 2, REGION_SIDE_PX, REGION_SIDE_PX];
      const { is_character: isCharacter } = await this.run(this.regions, ["is_character"], "images", joined(batch), shape);
      found.push(...isCharacter);
    }
    return found;
  }

  /** Return for each image of 784 pixels the probabilities of the digits, and that it is one, null if unknown. */
  async predict(images) {
    const found = [];
    for (let start = 0; start < images.length; start += BATCH_SIZE) {
      const batch = images.slice(start, start + BATCH_SIZE);
      const { probabilities, is_digit: isDigit } = await this.runDigits(batch, this.facts.outputs);
      batch.forEach((_, row) => {
        found.push({ probabilities: Array.from(probabilities.subarray(CLASSES * row, CLASSES * (row + 1))), isDigit: isDigit?.[row] ?? null });
      });
    }
    return found;
  }

  /**
   * Return the values inside the network for an image: {layers, hidden}.
   *
   * Each convolution has a name, `maps`, and `inputs` where they are neither the image nor the maps of another
   * layer; both are {channels, height, width, values}. `hidden` is the input of the last dense layer, or null.
   */
  async inside(image) {
    const { layers, hidden } = this.facts;
    const names = layers.flatMap(({ output, source }) => [output, source]).concat(hidden).filter((name) => name !== null);
    if (!names.length) return { layers: [], hidden: null };
    const found = await this.digits.run({ images: new this.Tensor("uint8", image, [1, SIDE, SIDE]) }, [...new Set(names)]);
    return {
      layers: layers.map(({ name, output, source }) => ({ name, maps: mapsOf(found[output]), inputs: source && mapsOf(found[source]) })),
      hidden: hidden && Array.from(found[hidden].data),
    };
  }

  runDigits(images, outputs) {
    return this.run(this.digits, outputs, "images", joined(images), [images.length, SIDE, SIDE]);
  }

  /** Run a session; return the named outputs as arrays. */
  async run(session, outputs, input, values, shape) {
    const results = await session.run({ [input]: new this.Tensor("uint8", values, shape) }, outputs);
    return Object.fromEntries(outputs.map((name) => [name, results[name].data]));
  }
}

/** Return images of one size in one array. */
function joined(images) {
  const values = new Uint8Array(images.length * images[0].length);
  images.forEach((image, row) => values.set(image, row * image.length));
  return values;
}

function mapsOf({ dims: [, channels, height, width], data }) {
  return { channels, height, width, values: data };
}
