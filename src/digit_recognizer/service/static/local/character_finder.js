// Find the characters of a page with reader.onnx. In Python: recognition/character_finder.py.

import { agree, confidenceOf, keepBest, middleOf } from "./agreement.js";
import { edges, makeGrid, part } from "./grid.js";
import { median } from "./numeric.js";
import { resize } from "./resample.js";
import { Area, UnreadParts } from "./unread.js";

const OUTPUTS = ["boxes", "probabilities", "is_character", "em", "starts"];
const SIDE_MULTIPLE_PX = 16; // the sides of the network's input are multiples of it
const MARGIN_PX = 16; // around a page
const LARGEST_EM_PX = 56; // that the network finds: the coarsest level is no higher than that
const MIN_LEVEL_SIDE_PX = 8; // lower levels hold no character that the network finds
const [ENLARGED_SIDE_PX, MAX_SCALE] = [512, 4]; // small pages are enlarged up to these
const MAX_PIXELS = 4_000_000; // larger pages are made smaller
const [TILE_PX, HALO_PX] = [1024, 64]; // large levels are looked at in tiles, each with some of its surroundings
const BETWEEN = 2 ** -0.5; // of two levels: the size in the middle of an octave
const SMALL_PIXELS = 400_000; // larger levels between two, and noise on larger pages, take longer than it is worth
const [READ_CONFIDENCE, READ_EM_PX] = [0.9, 28]; // what is as confident and as large needs no finer level

export class CharacterFinder {
  /** `run(outputs, page)` runs the network on a padded page. */
  constructor(run) {
    this.run = run;
  }

  /**
   * Find the characters of a page, improbable ones too; the most probable come first.
   *
   * `onLook` is called, and waited for, before each look.
   */
  async find(page, onLook = null) {
    const reduced = resize(page, Math.min(1, Math.sqrt(MAX_PIXELS / (page.height * page.width))));
    const found = await this.findOn(reduced, onLook);
    return reduced === page ? found : onOriginal(found, reduced.width / page.width, reduced.height / page.height);
  }

  /** Find the characters of a page that is not too large. */
  async findOn(page, onLook) {
    const looks = [];
    const pixels = page.height * page.width;
    const unread = new UnreadParts(page, pixels > SMALL_PIXELS);
    const octaves = pyramidScales(page);
    const between = octaves.map((scale) => scale * BETWEEN).filter((scale) => scale ** 2 * pixels <= SMALL_PIXELS);
    for (const scale of [...octaves, ...between]) {
      const area = unread.area();
      if (area === null) break;
      await onLook?.();
      const level = resize(page, scale);
      const found = await this.findAt(level, level.width / page.width, level.height / page.height, area);
      unread.remove(found.filter((each) => isRead(each, scale)).map(({ box }) => box));
      looks.push({ scale, area, found });
    }
    return keepBest(agree(looks));
  }

  /** Find the characters in an area of a page, in a level that is `across` and `down` times as large. */
  async findAt(level, across, down, area) {
    const found = [];
    for (const tile of tilesOf(area.scaled(across, down))) found.push(...(await this.findIn(level, tile, across, down)));
    return found;
  }

  /** Find the characters whose middles are in a tile of a level. */
  async findIn(level, tile, across, down) {
    const seen = tile.grown(HALO_PX, level);
    const outputs = await this.run(OUTPUTS, pad(part(level, seen.top, seen.left, seen.bottom, seen.right)));
    const [left, top] = [seen.left - MARGIN_PX, seen.top - MARGIN_PX];
    const found = rowsOf(outputs)
      .map(({ box, ...rest }) => ({ ...rest, box: [box[0] + left, box[1] + top, box[2] + left, box[3] + top] }))
      .filter((each) => tile.contains(...middleOf(each)));
    return onOriginal(found, across, down);
  }
}

/** Return characters of a page that is `across` and `down` times as large as the original, with places on that. */
function onOriginal(characters, across, down) {
  return characters.map(({ box, em, ...rest }) => ({
    ...rest,
    em: em / down,
    box: [box[0] / across, box[1] / down, box[2] / across, box[3] / down],
  }));
}

/** Return the outputs of the network as a list of characters. */
function rowsOf({ boxes, probabilities, is_character: isCharacter, em, starts }) {
  const classes = probabilities.length / isCharacter.length;
  return Array.from(isCharacter, (p, row) => ({
    box: Array.from(boxes.subarray(4 * row, 4 * row + 4)),
    probabilities: Array.from(probabilities.subarray(classes * row, classes * (row + 1))),
    isCharacter: p,
    em: em[row],
    starts: starts[row],
  }));
}

/** Return the scales at which a page is looked at, from coarse to fine. */
export function pyramidScales({ height, width }) {
  const side = Math.max(height, width);
  let scale = 1;
  while (scale < MAX_SCALE && 2 * scale * side <= ENLARGED_SIDE_PX) scale *= 2;
  const scales = [scale];
  while (side * scale > LARGEST_EM_PX) {
    scale /= 2;
    scales.unshift(scale);
  }
  return scales.filter((each) => Math.min(height, width) * each >= MIN_LEVEL_SIDE_PX);
}

/** Return a level with a margin, the median of its edges, so that its sides suit the network. */
export function pad(level) {
  const [height, width] = [level.height, level.width].map((side) => Math.ceil(side / SIDE_MULTIPLE_PX) * SIDE_MULTIPLE_PX + 2 * MARGIN_PX);
  const padded = makeGrid(height, width, Uint8Array);
  padded.values.fill(median(edges(level)));
  for (let row = 0; row < level.height; row++) {
    padded.values.set(level.values.subarray(row * level.width, (row + 1) * level.width), (row + MARGIN_PX) * width + MARGIN_PX);
  }
  return padded;
}

function isRead(character, scale) {
  return confidenceOf(character) >= READ_CONFIDENCE && character.em * scale >= READ_EM_PX;
}

function* tilesOf(area) {
  for (let top = area.top; top < area.bottom; top += TILE_PX) {
    for (let left = area.left; left < area.right; left += TILE_PX) {
      yield new Area(left, top, Math.min(left + TILE_PX, area.right), Math.min(top + TILE_PX, area.bottom));
    }
  }
}
