// A mouse, a finger, a pen or the arrow keys ► strokes.

import { widthOf } from "./ink.js";

const TAP = 5; // pixels that a pointer may move and still be said to tap
const STEP = 8; // pixels of one press of an arrow key
const HELD = 180; // milliseconds until a key that is held moves the pen on
const SPEED = 0.28; // pixels a millisecond, of a held key
const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

/**
 * Let strokes be drawn with any pointer.
 *
 * `hooks.taps(x, y)` is asked whether a tap is meant for something else than a dot; `moved` is called while the
 * pen draws, `rested` when it leaves the paper.
 */
export function drawWithPointers(canvas, ink, nominal, hooks) {
  let drawing = null;

  const points = (event) => {
    const { left, top } = canvas.getBoundingClientRect();
    const events = event.getCoalescedEvents?.() ?? [];
    return (events.length ? events : [event]).map((each) => ({
      x: each.clientX - left,
      y: each.clientY - top,
      width: widthOf(each, nominal()),
    }));
  };

  canvas.addEventListener("pointerdown", (event) => {
    if (event.button !== 0 || drawing || !hooks.draws()) return;
    if (canvas.hasPointerCapture !== undefined) canvas.setPointerCapture(event.pointerId);
    const [point] = points(event);
    drawing = { id: event.pointerId, start: point, isTap: true };
    ink.begin(point);
    hooks.began(point);
  });

  canvas.addEventListener("pointermove", (event) => {
    if (event.pointerId !== drawing?.id) return;
    const further = points(event);
    const { x, y } = further.at(-1);
    if (Math.hypot(x - drawing.start.x, y - drawing.start.y) > TAP) drawing.isTap = false;
    ink.extend(further);
    hooks.moved();
  });

  const end = (event) => {
    if (event.pointerId !== drawing?.id) return;
    const { start, isTap } = drawing;
    drawing = null;
    const wasForOther = isTap && hooks.taps(start.x, start.y);
    if (wasForOther || event.type === "pointercancel") ink.cancel();
    hooks.rested();
  };
  canvas.addEventListener("pointerup", end);
  canvas.addEventListener("pointercancel", end);
  canvas.addEventListener("touchstart", (event) => event.preventDefault(), { passive: false });
}

/** Let strokes be drawn with arrow keys and Space while the paper has the focus; `nib` shows where the pen is. */
export function drawWithKeys(canvas, ink, nominal, nib, hooks) {
  const held = new Map(); // key ► when it was pressed, in milliseconds
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
    const reach = SPEED * Math.min(now - before, 50);
    before = now;
    const going = [...held].filter(([, since]) => now - since > HELD).map(([key]) => ARROWS[key]);
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
    move(arrow[0] * STEP, arrow[1] * STEP);
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
