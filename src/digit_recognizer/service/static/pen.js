// Draws strokes with a mouse, a finger, a pen or the arrow keys.

import { widthOf } from "./ink.js";

const MAX_TAP_PX = 5; // that a pointer may move during a tap
const NEAR_PX = 48; // from the paper; a stroke may begin so far outside
const STEP_PX = 8; // for one press of an arrow key
const HOLD_MS = 180; // until a held arrow key moves the pen continuously
const SPEED_PX_PER_MS = 0.28; // of a held arrow key
const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

/**
 * Draw strokes with any pointer.
 *
 * `hooks.taps(x, y)` returns whether a tap selects something, so that it draws no dot; `moved` is called while the
 * pen draws, `rested` when it leaves the paper.
 */
export function drawWithPointers(canvas, ink, nominal, hooks) {
  let drawing = null;
  let isFromOutside = false; // the pen came down beside the paper, and is still down

  const isBeside = ({ clientX: x, clientY: y, target }) => {
    const { left, top, right, bottom } = canvas.getBoundingClientRect();
    const distance = Math.max(left - x, x - right, top - y, y - bottom);
    return target !== canvas && distance < NEAR_PX && !target.closest("a, button, input, label, summary");
  };

  const points = (event) => {
    const { left, top } = canvas.getBoundingClientRect();
    const events = event.getCoalescedEvents?.() ?? [];
    return (events.length ? events : [event]).map((each) => ({
      x: each.clientX - left,
      y: each.clientY - top,
      width: widthOf(each, nominal()),
    }));
  };

  const begin = (event) => {
    if (drawing || !hooks.draws()) return;
    if (canvas.hasPointerCapture !== undefined) canvas.setPointerCapture(event.pointerId);
    const [point] = points(event);
    drawing = { id: event.pointerId, start: point, isTap: true };
    ink.begin(point);
    hooks.began(point);
  };

  canvas.addEventListener("pointerdown", (event) => event.button === 0 && begin(event));
  document.addEventListener("pointerdown", (event) => {
    isFromOutside = event.button === 0 && event.pointerType !== "touch" && hooks.draws() && isBeside(event);
  });
  document.addEventListener("selectstart", (event) => isFromOutside && event.preventDefault());
  canvas.addEventListener("pointerenter", (event) => {
    if (isFromOutside && event.buttons === 1) begin(event);
  });
  document.addEventListener("pointerup", () => (isFromOutside = false));

  canvas.addEventListener("pointermove", (event) => {
    if (event.pointerId !== drawing?.id) return;
    const further = points(event);
    const { x, y } = further.at(-1);
    if (Math.hypot(x - drawing.start.x, y - drawing.start.y) > MAX_TAP_PX) drawing.isTap = false;
    ink.extend(further);
    hooks.moved();
  });

  const end = (event) => {
    if (event.pointerId !== drawing?.id) return;
    const { start, isTap } = drawing;
    drawing = null;
    const hasSelected = isTap && hooks.taps(start.x, start.y);
    if (hasSelected || event.type === "pointercancel") ink.cancel();
    hooks.rested();
  };
  canvas.addEventListener("pointerup", end);
  canvas.addEventListener("pointercancel", end);
  canvas.addEventListener("touchstart", (event) => event.preventDefault(), { passive: false });
}

/** Draw strokes with arrow keys and Space while the paper has the focus; `nib` shows the pen. */
export function drawWithKeys(canvas, ink, nominal, nib, hooks) {
  const held = new Map(); // key → time of the press, in milliseconds
  let place = null;
  let isDown = false;
  let before = 0;

  const show = () => {
    nib.hidden = place === null || document.activeElement !== canvas;
    if (place === null) return;
    nib.style.transform = `translate(${place.x}px, ${place.y}px)`;
    nib.classList.toggle("down", isDown);
  };

  const move = (right, down) => {
    const inside = (value, length) => Math.min(Math.max(value, 4), length - 4);
    place = { x: inside(place.x + right, ink.width), y: inside(place.y + down, ink.height), width: nominal() };
    if (isDown) {
      ink.extend([place]);
      hooks.moved();
    }
    show();
  };

  const glide = (now) => {
    if (held.size === 0) return;
    const reach = SPEED_PX_PER_MS * Math.min(now - before, 50);
    before = now;
    const going = [...held].filter(([, since]) => now - since > HOLD_MS).map(([key]) => ARROWS[key]);
    if (going.length) move(...[0, 1].map((axis) => going.reduce((sum, arrow) => sum + arrow[axis] * reach, 0)));
    requestAnimationFrame(glide);
  };

  const lift = () => {
    if (!isDown) return;
    isDown = false;
    show();
    hooks.rested();
  };

  const toggle = () => {
    if (isDown) return lift();
    isDown = true;
    place = { ...place, width: nominal() };
    ink.begin(place);
    hooks.began(place);
    show();
  };

  canvas.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || !hooks.draws()) return;
    const arrow = ARROWS[event.key];
    if (!arrow && event.key !== " ") return;
    event.preventDefault();
    place ??= { x: ink.width / 2, y: ink.height / 3, width: nominal() };
    if (event.key === " ") return event.repeat ? undefined : toggle();
    if (event.repeat) return;
    move(arrow[0] * STEP_PX, arrow[1] * STEP_PX);
    before = performance.now();
    held.set(event.key, before);
    if (held.size === 1) requestAnimationFrame(glide);
  });
  canvas.addEventListener("keyup", (event) => held.delete(event.key));
  canvas.addEventListener("focus", () => {
    if (canvas.matches(":focus-visible")) place ??= { x: ink.width / 2, y: ink.height / 3, width: nominal() };
    show();
  });
  canvas.addEventListener("blur", () => {
    held.clear();
    lift();
    show();
  });
  return { lift };
}
