// Marks a part of the opened picture, and cuts it out.

import { cut, placeOf } from "./picture.js";

const STEP_PX = 8; // for a press of an arrow key
const MIN_PX = 12; // sides of a part, on the screen

/** Lets the user mark a part of the picture, with a pointer or the arrow keys. */
export class Cropper {
  /** `done(part)` is called with the part as a file, null if the browser cannot make it, undefined if the user gave up. */
  constructor(picture, done) {
    Object.assign(this, { picture, done });
    [this.layer, this.box] = ["crop", "crop-box"].map((id) => document.getElementById(id));
    this.layer.addEventListener("pointerdown", (event) => this.begin(event));
    this.layer.addEventListener("pointermove", (event) => this.drag(event));
    for (const kind of ["pointerup", "pointercancel"]) this.layer.addEventListener(kind, () => this.end());
    this.box.addEventListener("keydown", (event) => this.press(event));
    this.start = null;
  }

  get isOpen() {
    return !this.layer.hidden;
  }

  get place() {
    const { naturalWidth, naturalHeight } = this.picture;
    return placeOf(this.picture, naturalWidth, naturalHeight);
  }

  open() {
    this.put(this.place);
    this.isWhole = true; // as long as the user has not marked a part
    this.layer.hidden = false;
    this.box.focus();
  }

  close() {
    this.layer.hidden = true;
  }

  /** Mark a part, inside the picture. */
  put(part) {
    const { left, top, width, height } = this.place;
    const within = (value, low, high) => Math.min(Math.max(value, low), Math.max(low, high));
    const [wide, high] = [within(part.width, MIN_PX, width), within(part.height, MIN_PX, height)];
    const x = within(part.left, left, left + width - wide);
    const y = within(part.top, top, top + height - high);
    this.part = { left: x, top: y, width: wide, height: high };
    Object.assign(this.box.style, { left: `${x}px`, top: `${y}px`, width: `${wide}px`, height: `${high}px` });
  }

  at({ clientX, clientY }) {
    const { left, top } = this.layer.getBoundingClientRect();
    return { x: clientX - left, y: clientY - top };
  }

  begin(event) {
    if (event.button !== 0) return;
    this.layer.setPointerCapture(event.pointerId);
    const { x, y } = this.at(event);
    this.start = { x, y, part: this.part, edges: this.edgesAt(x, y) };
  }

  /** Return which edges of the part a point is near; a drag from there moves them, any other marks a new part. */
  edgesAt(x, y) {
    if (this.isWhole) return [];
    const { left, top, width, height } = this.part;
    const near = (value, edge) => Math.abs(value - edge) <= MIN_PX;
    const isBeside = x >= left - MIN_PX && x <= left + width + MIN_PX && y >= top - MIN_PX && y <= top + height + MIN_PX;
    if (!isBeside) return [];
    const across = near(x, left) ? ["left"] : near(x, left + width) ? ["right"] : [];
    return [...across, ...(near(y, top) ? ["top"] : near(y, top + height) ? ["bottom"] : [])];
  }

  drag(event) {
    const { x, y } = this.at(event);
    if (this.start === null) {
      const [one, other] = this.edgesAt(x, y);
      const corner = one && other ? ((one === "left") === (other === "top") ? "nwse-resize" : "nesw-resize") : null;
      this.layer.style.cursor = corner ?? (one ? (one === "left" || one === "right" ? "ew-resize" : "ns-resize") : "crosshair");
      return;
    }
    const { part, edges } = this.start;
    this.isWhole = false;
    const [right, down] = [x - this.start.x, y - this.start.y];
    if (!edges.length) return this.put(spanned(this.start.x, this.start.y, x, y));
    const ends = { left: part.left, top: part.top, right: part.left + part.width, bottom: part.top + part.height };
    for (const edge of edges) ends[edge] += edge === "left" || edge === "right" ? right : down;
    this.put(spanned(ends.left, ends.top, ends.right, ends.bottom));
  }

  end() {
    this.start = null;
  }

  /** Arrow keys move the part, with Shift its lower right corner; Enter takes it, Escape gives up. */
  press(event) {
    const arrow = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
    if (arrow) {
      const [right, down] = arrow.map((each) => each * STEP_PX);
      const { left, top, width, height } = this.part;
      this.isWhole = false;
      this.put(event.shiftKey ? { left, top, width: width + right, height: height + down } : { left: left + right, top: top + down, width, height });
    } else if (event.key === "Enter") this.take();
    else if (event.key === "Escape") this.giveUp();
    else return;
    event.preventDefault();
    event.stopPropagation();
  }

  async take() {
    const { left, top, scale } = this.place;
    const { part } = this;
    this.close();
    this.done(await cut(this.picture, { x: (part.left - left) / scale, y: (part.top - top) / scale, width: part.width / scale, height: part.height / scale }));
  }

  giveUp() {
    this.close();
    this.done();
  }
}

function spanned(x, y, otherX, otherY) {
  return { left: Math.min(x, otherX), top: Math.min(y, otherY), width: Math.abs(x - otherX), height: Math.abs(y - otherY) };
}
