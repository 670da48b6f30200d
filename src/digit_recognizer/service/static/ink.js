// Strokes: drawn on the paper, and on the picture that is sent.

const SENT_SIDE_PX = 600; // longer side of the picture that is sent
const NOMINAL_PRESSURE = 0.5; // of a pen at its nominal width
const MIN_WIDTH_FRACTION = 0.45; // of the nominal width, without pressure
const MAX_PIXEL_RATIO = 3; // device pixels per CSS pixel

/** Return the width of a stroke at a pointer event; strokes are points {x, y, width} in CSS pixels of the paper. */
export function widthOf(event, nominal) {
  if (event.pointerType !== "pen" || event.pressure === 0) return nominal;
  return nominal * (MIN_WIDTH_FRACTION + ((1 - MIN_WIDTH_FRACTION) * event.pressure) / NOMINAL_PRESSURE);
}

/** A canvas with strokes, `scale` of its pixels per CSS pixel of the paper. */
class Sheet {
  constructor(canvas, options) {
    this.canvas = canvas;
    this.context = canvas.getContext("2d", options);
    this.scale = 1;
  }

  resize(width, height, scale) {
    this.canvas.width = Math.max(1, Math.round(width * scale));
    this.canvas.height = Math.max(1, Math.round(height * scale));
    this.scale = scale;
  }

  wipe(colour, background) {
    const { context, canvas } = this;
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.clearRect(0, 0, canvas.width, canvas.height);
    if (background) {
      context.fillStyle = background;
      context.fillRect(0, 0, canvas.width, canvas.height);
    }
    context.setTransform(this.scale, 0, 0, this.scale, 0, 0);
    context.lineCap = context.lineJoin = "round";
    context.strokeStyle = context.fillStyle = colour;
  }

  /**
   * Draw a stroke from its point `first` on: curves between the midpoints, and a line to each point, so that the
   * result does not depend on how many points arrive at a time.
   */
  draw(points, first = 0) {
    const { context } = this;
    if (first === 0) {
      context.beginPath();
      context.arc(points[0].x, points[0].y, points[0].width / 2, 0, 2 * Math.PI);
      context.fill();
    }
    for (let i = Math.max(1, first); i < points.length; i++) {
      const [before, here] = [points[i - 1], points[i]];
      const from = i > 1 ? middle(points[i - 2], before) : before;
      const to = middle(before, here);
      context.lineWidth = (before.width + here.width) / 2;
      context.beginPath();
      context.moveTo(from.x, from.y);
      context.quadraticCurveTo(before.x, before.y, to.x, to.y);
      context.lineTo(here.x, here.y);
      context.stroke();
    }
  }
}

function middle(one, other) {
  return { x: (one.x + other.x) / 2, y: (one.y + other.y) / 2 };
}

/** The drawing: strokes with undo, on one sheet to show and one to send. */
export class Ink {
  constructor(canvas) {
    this.shown = new Sheet(canvas);
    this.sent = new Sheet(document.createElement("canvas"), { willReadFrequently: true, alpha: false });
    this.strokes = [];
    this.past = [];
    this.width = this.height = 1;
  }

  get isBlank() {
    return this.strokes.length === 0;
  }

  get last() {
    return this.strokes.at(-1)?.at(-1) ?? null;
  }

  /** Fit the sheets to the size of the paper; shrink the drawing if it would not fit. */
  fit() {
    const { clientWidth, clientHeight } = this.shown.canvas;
    if (clientWidth === 0 || clientHeight === 0) return;
    [this.width, this.height] = [clientWidth, clientHeight];
    this.shrink();
    this.shown.resize(this.width, this.height, Math.min(devicePixelRatio || 1, MAX_PIXEL_RATIO));
    this.sent.resize(this.width, this.height, SENT_SIDE_PX / Math.max(this.width, this.height));
    this.redraw();
  }

  shrink() {
    const points = this.strokes.flat();
    const beyond = Math.max(
      1,
      ...points.map(({ x, width }) => (x + width) / this.width),
      ...points.map(({ y, width }) => (y + width) / this.height),
    );
    if (beyond === 1) return;
    const smaller = ({ x, y, width }) => ({ x: x / beyond, y: y / beyond, width: width / beyond });
    this.strokes = this.strokes.map((stroke) => stroke.map(smaller));
    this.past = this.past.map((strokes) => strokes.map((stroke) => stroke.map(smaller)));
  }

  redraw() {
    this.shown.wipe(getComputedStyle(this.shown.canvas).color);
    this.sent.wipe("#000", "#fff");
    for (const stroke of this.strokes) this.drawBoth(stroke, 0);
  }

  drawBoth(stroke, first) {
    this.shown.draw(stroke, first);
    this.sent.draw(stroke, first);
  }

  begin(point) {
    this.past.push([...this.strokes]);
    this.strokes.push([point]);
    this.drawBoth(this.strokes.at(-1), 0);
  }

  extend(points) {
    const stroke = this.strokes.at(-1);
    const first = stroke.length;
    stroke.push(...points);
    this.drawBoth(stroke, first);
  }

  /** Discard the current stroke. */
  cancel() {
    this.undo();
  }

  undo() {
    if (this.past.length === 0) return;
    this.strokes = this.past.pop();
    this.redraw();
  }

  clear() {
    if (this.isBlank) return;
    this.past.push(this.strokes);
    this.strokes = [];
    this.redraw();
  }
}
