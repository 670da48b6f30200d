// The digit that the section "Inside the network" shows before the first stroke.

import { SIDE } from "./network.js";

export const EXAMPLE = "3";
const POINTS = [[8, 8], [10, 5.5], [13.5, 4.5], [17.5, 5.5], [18.5, 8.5], [16.5, 11.5], [12.5, 13.5], [16.5, 14.5], [19.5, 17.5], [19, 21], [15.5, 23.5], [11.5, 23.5], [8, 21.5]];
const STROKE_PX = 2.6; // of an image
const ENLARGED = 10; // times, where its strokes are shown

function drawn(scale, colour, background) {
  const canvas = document.createElement("canvas");
  canvas.width = canvas.height = SIDE * scale;
  const context = canvas.getContext("2d");
  context.fillStyle = background;
  context.fillRect(0, 0, canvas.width, canvas.height);
  context.scale(scale, scale);
  Object.assign(context, { strokeStyle: colour, lineWidth: STROKE_PX, lineCap: "round", lineJoin: "round" });
  context.beginPath();
  context.moveTo(...POINTS[0]);
  for (let place = 1; place < POINTS.length - 1; place++) {
    const [here, next] = [POINTS[place], POINTS[place + 1]];
    context.quadraticCurveTo(...here, (here[0] + next[0]) / 2, (here[1] + next[1]) / 2);
  }
  context.lineTo(...POINTS.at(-1));
  context.stroke();
  return canvas;
}

/** Return the example: its 28×28 pixels, and its strokes with their box. */
export function example() {
  const { data } = drawn(1, "#fff", "#000").getContext("2d").getImageData(0, 0, SIDE, SIDE);
  const [xs, ys] = [0, 1].map((axis) => POINTS.map((point) => point[axis] * ENLARGED));
  const reach = (STROKE_PX / 2) * ENLARGED;
  const [x, y] = [Math.min(...xs) - reach, Math.min(...ys) - reach];
  const box = { x, y, width: Math.max(...xs) + reach - x, height: Math.max(...ys) + reach - y };
  return { pixels: Uint8Array.from({ length: SIDE * SIDE }, (_, place) => data[4 * place]), source: drawn(ENLARGED, "#000", "#fff"), box };
}
