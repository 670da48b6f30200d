// The answers of the service, worked out here. In Python: service/model.py.

import { asDigit, confidenceOf } from "./characters.js";
import { decodePage } from "./decode.js";
import { makeGrid } from "./grid.js";
import { INK, SIDE } from "./normalise.js";
import { argmax, rint } from "./numeric.js";
import { occlude } from "./occlusion.js";
import { isBlank } from "./unread.js";

const MAX_GUESSES = 100; // rejected marks that are described like digits
const CHUNK = 8192; // bytes that become text at a time
const FORMAT_VERSION = 1; // of a reading
const SIGNED_ZERO = 128; // the byte of 0 among values with a sign
const SIGNED_STEPS = 127; // up and down
const WARM_UP_PX = 200; // the side of a page with a stroke

export class Answers {
  constructor(recognizer, facts) {
    Object.assign(this, { recognizer, facts });
  }

  /**
   * Answer a request for a path of the service; `body` is a Blob, an ImageData or an array of bytes.
   *
   * `onLook` is called, and waited for, before each look at a page; what it throws ends the reading.
   */
  async to(path, query, body, onLook) {
    switch (path) {
      case "/v1/model":
        return this.facts.model;
      case "/v1/filters":
        return this.facts.filters;
      case "/v1/read":
        return this.read(body, query, onLook);
      case "/v1/explain":
        return this.explain(body, query.get("saliency") === "true");
    }
    throw new Error(`no answer to ${path}`);
  }

  /** Do once what the first reading and the first explanation would wait for: the browser compiles what it runs. */
  async warmUp() {
    const page = makeGrid(WARM_UP_PX, WARM_UP_PX, Uint8Array);
    page.values.fill(INK);
    for (let row = WARM_UP_PX / 4; row < (3 * WARM_UP_PX) / 4; row++) page.values.fill(0, (row + 0.48) * WARM_UP_PX, (row + 0.52) * WARM_UP_PX);
    await this.recognizer.readPage(page, { isUpright: true, threshold: 0 });
    await this.explain(new Uint8Array(SIDE * SIDE).fill(INK), true);
  }

  async read(picture, query, onLook) {
    const start = performance.now();
    const { page, width, height } = await decodePage(picture);
    const threshold = Number(query.get("threshold") ?? 0);
    const isUpright = query.get("upright") === "true";
    const reading = await this.recognizer.readPage(page, { isUpright, threshold, onLook });
    const stretch = stretchOf(reading.rotation, width / page.width, height / page.height);
    return {
      format: FORMAT_VERSION,
      text: reading.lines.map(({ numbers }) => numbers.map(({ text }) => text).join(" ")).join("\n"),
      lines: reading.lines.map(({ numbers }) => ({ numbers: numbers.map((each) => numberAnswer(each, stretch)) })),
      rejected: reading.rejectedMarks.map((mark, place) => rejectedAnswer(mark, place < MAX_GUESSES, stretch)),
      notes: reading.notes,
      rotation: reading.rotation,
      width,
      height,
      pages: 1,
      blank: reading.lines.length === 0 && isBlank(page),
      seconds: secondsSince(start),
    };
  }

  async explain(image, hasSaliency) {
    const start = performance.now();
    const { recognizer } = this;
    const [{ probabilities, isDigit }] = await recognizer.predict([image]);
    const { layers, hidden } = await recognizer.inside(image);
    const saliency = hasSaliency ? scaled(await occlude((images) => recognizer.predict(images), image)).encoded : null;
    return { label: argmax(probabilities), probabilities, is_digit: isDigit, layers: layers.map(layerAnswer), hidden, saliency, seconds: secondsSince(start) };
  }
}

function secondsSince(start) {
  return (performance.now() - start) / 1000;
}

/** Return what stretches boxes of a page that was reduced, so that they are in pixels of the (turned) picture. */
function stretchOf(rotation, across, down) {
  const [x, y] = rotation % 180 ? [down, across] : [across, down];
  return (box) => {
    const [left, right] = [box.x, box.x + box.width].map((each) => rint(each * x));
    const [top, bottom] = [box.y, box.y + box.height].map((each) => rint(each * y));
    return { x: left, y: top, width: right - left, height: bottom - top };
  };
}

function numberAnswer({ characters, text, value, confidence, sure, alternatives }, stretch) {
  return {
    digits: characters.flatMap((each) => asDigit(each) ?? []).map((each) => digitAnswer(each, stretch)),
    text,
    value,
    confidence,
    sure,
    box: stretch(around(characters.map(({ box }) => box))),
    row: null, // the page does not show in which cell of a table a number is
    column: null,
    alternatives,
    characters: characters.map((each) => characterAnswer(each, stretch)),
  };
}

function characterAnswer(character, stretch) {
  const { text, box, probabilities, isCharacter, image } = character;
  return { text, box: stretch(box), probabilities, is_character: isCharacter, confidence: confidenceOf(character), image: base64(image) };
}

function digitAnswer({ digit, box, probabilities, isDigit, confidence, image }, stretch) {
  return { digit, box: stretch(box), probabilities, is_digit: isDigit, confidence, image: base64(image) };
}

function rejectedAnswer({ box, reason, guess }, hasGuess, stretch) {
  const answer = { ...stretch(box), reason, text: guess.text, confidence: confidenceOf(guess) };
  const digit = hasGuess ? asDigit(guess) : null;
  return digit === null ? answer : { ...answer, guess: digitAnswer(digit, stretch) };
}

function around(boxes) {
  const [x, y] = [Math.min(...boxes.map((box) => box.x)), Math.min(...boxes.map((box) => box.y))];
  const right = Math.max(...boxes.map((box) => box.x + box.width));
  const bottom = Math.max(...boxes.map((box) => box.y + box.height));
  return { x, y, width: right - x, height: bottom - y };
}

function layerAnswer({ name, maps: { channels, height, width, values }, inputs }) {
  const { encoded, maximum } = scaled(values);
  return { name, kind: "convolution", height, width, channels, maps: encoded, maximum, inputs: inputs && inputsAnswer(inputs) };
}

/** Return the inputs of a layer as bytes with a sign: 128 for 0, 255 for `scale`. */
function inputsAnswer({ channels, height, width, values }) {
  const scale = values.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
  const step = scale > 0 ? SIGNED_STEPS / scale : 0;
  return { channels, height, width, values: base64(Uint8Array.from(values, (value) => rint(value * step) + SIGNED_ZERO)), scale };
}

/** Return values from 0 to their maximum as bytes in base64, and the maximum. */
function scaled(values) {
  const maximum = values.reduce((most, value) => Math.max(most, value), 0);
  const scale = maximum > 0 ? INK / maximum : 0;
  return { encoded: base64(Uint8Array.from(values, (value) => rint(Math.max(value, 0) * scale))), maximum };
}

function base64(bytes) {
  let text = "";
  for (let start = 0; start < bytes.length; start += CHUNK) text += String.fromCharCode(...bytes.subarray(start, start + CHUNK));
  return btoa(text);
}
