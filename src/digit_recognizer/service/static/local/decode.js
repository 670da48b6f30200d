// Decode a picture to an upright grey page. In Python: imaging/decode.py and imaging/grey.py.

import { makeGrid } from "./grid.js";
import { sum } from "./numeric.js";

const PAGE_PIXELS = 25_000_000; // of a page, to which larger pictures are reduced
export const MAX_PIXELS = 150_000_000; // of a picture
const STRIP_PIXELS = 1_000_000; // converted at a time
const WHITE = 255;
const LEVELS = 256;
const AS_IN_THE_FILE = { imageOrientation: "from-image", colorSpaceConversion: "none", premultiplyAlpha: "none" };
const OPENED = "It opens PNG, JPEG, WebP, GIF, BMP and AVIF.";
const KINDS = [
  ["a PDF", /^%PDF/],
  ["a TIFF", /^(II\*\0|MM\0\*)/],
  ["a HEIC", /^.{4}ftyp(hei|hev|mif1|msf1)/s],
]; // by the first bytes

/** A picture cannot be read; the message says why. */
export class PictureError extends Error {}

/** Return {page, width, height} of a Blob or an ImageData: the grey page, and the size of the upright picture. */
export async function decodePage(picture) {
  if (picture instanceof ImageData) return pageOf(picture);
  const bitmap = await open(picture);
  try {
    return pageOf(bitmap);
  } finally {
    bitmap.close();
  }
}

function pageOf(picture) {
  const { width, height } = picture;
  if (width * height > MAX_PIXELS) throw new PictureError(`The picture has more than ${MAX_PIXELS / 1e6} megapixels: make it smaller first.`);
  return { page: toGrey(picture, Math.max(1, Math.ceil(Math.sqrt((width * height) / PAGE_PIXELS)))), width, height };
}

/** Let the browser decode a picture: upright, and with its colours as they are in the file. */
async function open(picture) {
  const unknown = () => null; // older browsers do not know all options
  const bitmap = (await createImageBitmap(picture, AS_IN_THE_FILE).catch(unknown)) ?? (await createImageBitmap(picture).catch(unknown));
  if (bitmap !== null) return bitmap;
  const start = new TextDecoder("latin1").decode(await picture.slice(0, 12).arrayBuffer());
  const kind = KINDS.find(([, pattern]) => pattern.test(start));
  if (kind) throw new PictureError(`The file is ${kind[0]}, which this page does not open. ${OPENED}`);
  throw new PictureError(`The file is damaged, or is not a picture that this page opens. ${OPENED}`);
}

/** Return a picture as a grey page, each side divided by `factor` and rounded up. */
function toGrey(picture, factor) {
  const [height, width] = [picture.height, picture.width].map((side) => Math.ceil(side / factor));
  const [page, opacity] = [makeGrid(height, width, Uint8Array), makeGrid(height, width, Uint8Array)];
  const ink = new Float64Array(LEVELS); // how much of each level is opaque
  let isOpaque = true;
  for (const { top, strip } of stripsOf(picture, factor)) {
    const { grey, alpha } = split(strip, ink);
    isOpaque &&= alpha.values.every((level) => level === WHITE);
    page.values.set(reduce(grey, factor).values, (top / factor) * width);
    opacity.values.set(reduce(alpha, factor).values, (top / factor) * width);
  }
  if (!isOpaque && chooseBackground(ink) !== 0) {
    page.values.forEach((level, place) => (page.values[place] = level + WHITE - opacity.values[place]));
  }
  return page;
}

/** Yield strips of some rows as RGBA. */
function* stripsOf(picture, factor) {
  if (picture instanceof ImageData) return yield { top: 0, strip: picture };
  const { height, width } = picture;
  const step = Math.max(1, Math.floor(STRIP_PIXELS / (width * factor))) * factor;
  const context = new OffscreenCanvas(width, Math.min(step, height)).getContext("2d", { willReadFrequently: true });
  for (let top = 0; top < height; top += step) {
    context.clearRect(0, 0, width, step);
    context.drawImage(picture, 0, -top);
    yield { top, strip: context.getImageData(0, 0, width, Math.min(step, height - top)) };
  }
}

/** Return the luminance (ITU-R 601-2) times the opacity, and the opacity; add the ink of each level to `ink`. */
function split({ data, width, height }, ink) {
  const [grey, alpha] = [makeGrid(height, width, Uint8Array), makeGrid(height, width, Uint8Array)];
  for (let place = 0, from = 0; place < width * height; place++, from += 4) {
    const level = (data[from] * 19595 + data[from + 1] * 38470 + data[from + 2] * 7471 + 0x8000) >> 16;
    const opacity = data[from + 3];
    ink[level] += opacity;
    grey.values[place] = Math.round((level * opacity) / WHITE);
    alpha.values[place] = opacity;
  }
  return { grey, alpha };
}

/** Return the means of squares of `factor` pixels; those at the right and at the bottom may have fewer. */
function reduce(grid, factor) {
  if (factor === 1) return grid;
  const made = makeGrid(Math.ceil(grid.height / factor), Math.ceil(grid.width / factor), Uint8Array);
  for (let row = 0, to = 0; row < made.height; row++) {
    for (let column = 0; column < made.width; column++, to++) {
      let [total, count] = [0, 0];
      for (let y = row * factor; y < Math.min((row + 1) * factor, grid.height); y++) {
        for (let x = column * factor; x < Math.min((column + 1) * factor, grid.width); x++, count++) total += grid.values[y * grid.width + x];
      }
      made.values[to] = Math.round(total / count);
    }
  }
  return made;
}

/** Return the level, 0 or 255, that makes the opaque pixels of a transparent picture visible. */
export function chooseBackground(ink) {
  if (sum(ink) === 0) return WHITE;
  const [dark, light] = twoMeans(ink);
  const [toBlack, between, toWhite] = [dark, light - dark, WHITE - light];
  if (between > Math.max(toBlack, toWhite)) {
    const mean = sum(ink.map((weight, level) => weight * level)) / sum(ink);
    return mean >= WHITE / 2 ? WHITE : 0;
  }
  return toBlack > toWhite ? 0 : WHITE;
}

/** Return the means below and above the threshold with the largest variance between them (Otsu 1979). */
function twoMeans(weights) {
  const [all, allMoment] = [sum(weights), sum(weights.map((weight, level) => weight * level))];
  let best = { variance: 0, dark: allMoment / all, light: allMoment / all };
  let [below, moment] = [0, 0];
  weights.forEach((weight, level) => {
    [below, moment] = [below + weight, moment + weight * level];
    const [dark, light] = [moment / below, (allMoment - moment) / (all - below)];
    const variance = below * (all - below) * (light - dark) ** 2;
    if (variance > best.variance) best = { variance, dark, light };
  });
  return [best.dark, best.light];
}
