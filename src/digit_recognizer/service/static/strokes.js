// The strokes of a digit, with what the answer depends on in orange.

import { SIDE } from "./network.js";

const MARGIN_PX = 8; // around a digit's box in the enlarged strokes

/**
 * Show a digit's strokes, with the saliency over them.
 *
 * `source` is a canvas or a picture, null for none, `box` the digit's place in it, `pixels` its 28×28 image,
 * `saliency` 28×28 levels or null.
 */
export function showStrokes(canvas, source, box, pixels, saliency) {
  const context = canvas.getContext("2d");
  const { width, height } = canvas;
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
