// The page: reads what is drawn or opened; shows, explains and corrects the reading.

import { asBody, ask, onTokenWanted } from "./backend.js";
import { Corrections } from "./corrections.js";
import { Explaining } from "./explaining.js";
import { Ink } from "./ink.js";
import { Inside } from "./inside.js";
import { backoff, dismiss, isTemporary, recovered, report } from "./notice.js";
import { Pictures } from "./opened.js";
import { listenToPanel, showPanel } from "./panel.js";
import { drawWithKeys, drawWithPointers } from "./pen.js";
import { cropped, display, fitting, onPicture, placeOf, turned } from "./picture.js";
import { Reading, SURE } from "./reading.js";
import { Latest } from "./service.js";
import { askForToken } from "./token.js";
import { showBoxes } from "./view.js";

const MIN_REQUEST_INTERVAL_MS = 30; // while the pen moves
const ANNOUNCE_DELAY_MS = 700; // without a change, until screen readers announce the reading
const BLANK = { lines: [], rejected: [], notes: [], blank: true, width: 1, height: 1, pages: 1 };
const READ = `/v1/read?images=true&reduce=true&threshold=${SURE}`;

const at = (id) => document.getElementById(id);
const [paper, picture, overlay, stage] = ["paper", "picture", "overlay", "stage"].map(at);

const ink = new Ink(paper);
const reader = new Latest(readLatest);
const corrections = new Corrections(() => show(), report, pictureOf);

const state = {
  reading: new Reading(BLANK),
  chosen: null,
  picked: null, // the digit that the user selected; null: the one nearest to the pen
  isDrawing: false,
  opened: null, // the picture's file, where one is open
  original: null, // the same before the user cropped or turned it
  isTurned: false, // by the user, so that it is upright
  page: 1, // of a PDF or TIFF, from 1
  pages: 1, // how many the opened file has
  work: 0, // number of the drawing or picture; answers to earlier ones are ignored
  penUp: null, // when the pen left the paper, in milliseconds of performance.now(); null once its answer is there
  sentAt: 0,
  limits: { body_bytes: Infinity, pixels: Infinity },
};
const explaining = new Explaining(new Inside(), state, sourceOf);

// --- Reading

let later = null;
function wantReading() {
  at("text").setAttribute("aria-busy", "true");
  if (!state.isDrawing) return reader.offer(null);
  const wait = state.sentAt + MIN_REQUEST_INTERVAL_MS - performance.now();
  if (wait <= 0) return reader.offer(null);
  later ??= setTimeout(() => {
    later = null;
    reader.offer(null);
  }, wait);
}

let outdated = null; // tells the page's own reader, not a service, that a newer drawing waits
async function readLatest() {
  const { work, opened, page, penUp, isDrawing } = state;
  if (!opened && ink.isBlank) {
    recovered(); // nothing is retried
    return take(BLANK, work);
  }
  state.sentAt = performance.now();
  try {
    const body = opened ? await fitting(opened, picture, state.limits) : asBody(ink.sent.canvas);
    const headers = { "Content-Type": body.type || "application/octet-stream" };
    const which = `page=${page}${opened && !state.isTurned ? "" : "&upright=true"}`;
    outdated = new AbortController();
    const answer = await ask(`${READ}&${which}`, { method: "POST", headers, body, outdated: outdated.signal });
    recovered();
    if (answer === null) return; // a newer drawing waits
    if (work === state.work) state.pages = answer.pages ?? 1;
    if (opened && answer.rotation && work === state.work) await showTurned(answer);
    if (!isDrawing && penUp !== null) measureFrom(penUp);
    take(answer, work);
  } catch (error) {
    state.penUp = null;
    if (work === state.work) failed(error);
  }
}

/** Turn the picture as the service did before it read it: all boxes are in the turned picture. */
async function showTurned(answer) {
  if (isPictureShown()) await display(picture, await turned(picture, answer.rotation));
  if (answer.rotation !== 180) [answer.width, answer.height] = [answer.height, answer.width];
}

/** Measure the time from pen-up until the answer is on the screen. */
function measureFrom(penUp) {
  state.penUp = null;
  requestAnimationFrame(() =>
    setTimeout(() => performance.measure("pen-up to answer", { start: penUp, end: performance.now() })),
  );
}

function take(answer, work) {
  if (work !== state.work) return;
  const before = state.reading;
  state.reading = new Reading(answer, before);
  state.chosen = (state.picked && state.reading.sameAs(state.picked)) ?? defaultMark(state.reading);
  if (state.picked) state.picked = state.chosen;
  show();
  markBusy();
  explaining.update();
  announceSoon();
}

/** Mark the reading as busy while a newer one is on its way. */
function markBusy() {
  at("text").setAttribute("aria-busy", String(reader.waiting !== null || later !== null));
}

function defaultMark(reading) {
  if (state.opened || ink.last === null) return reading.digits.at(-1) ?? reading.marks[0] ?? null;
  const scale = reading.answer.width / ink.width;
  return reading.nearest(ink.last.x * scale, ink.last.y * scale);
}

function failed(error) {
  report(error);
  if (isTemporary(error)) return setTimeout(() => reader.offer(null), backoff.next());
  if (!state.opened) return;
  if (picture.naturalWidth === 0 && state.pages === 1) return pictures.drop(); // not a picture: back to the drawing
  markBusy();
  at("text").textContent = "Not read";
  at("text").dataset.state = "failed";
  at("remark").textContent = error.message;
}

// --- Showing

function show() {
  place();
  showPanel(state, ink, { choose, isPictureShown: isPictureShown(), picture });
  const { reading, chosen } = state;
  corrections.show(chosen, chosen && reading.groupOf(chosen));
}

/** Whether the browser shows the page that is read; it shows no PDF, and at most the first page of a TIFF. */
function isPictureShown() {
  return picture.naturalWidth > 0 && state.page === 1;
}

/** Where a box of the reading is: the canvas or picture, and the box in its pixels; null if it is not shown. */
function sourceOf({ x, y, width, height }) {
  const source = state.opened ? picture : ink.sent.canvas;
  const shownWidth = isPictureShown() ? picture.naturalWidth : 0;
  const stretch = (state.opened ? shownWidth : source.width) / state.reading.answer.width;
  return stretch > 0 ? { source, box: { x: x * stretch, y: y * stretch, width: width * stretch, height: height * stretch } } : null;
}

/** Return the part of the drawing or picture with a number, a PNG in base64; null if the browser does not show it. */
function pictureOf(box) {
  const found = sourceOf(box);
  return found && cropped(found.source, found.box);
}

/** Lay the boxes over the drawing or the picture. */
function place() {
  const { width, height } = state.reading.answer;
  const where = state.opened
    ? placeOf(picture, width, height)
    : { left: 0, top: 0, width: ink.width, height: ink.height, scale: ink.width / width };
  overlay.style.transform = `translate(${where.left}px, ${where.top}px)`;
  overlay.dataset.scale = where.scale;
  showBoxes(overlay, state.reading, state.chosen, where.scale, stage.clientWidth - where.left);
}

function choose(digit) {
  state.picked = state.chosen = digit;
  show();
  corrections.reveal(digit);
  explaining.update();
}

/** Select the digit at a point of the screen; return whether there is one. */
function chooseAt(clientX, clientY) {
  const { left, top } = overlay.getBoundingClientRect();
  const scale = Number(overlay.dataset.scale);
  const digit = state.reading.at((clientX - left) / scale, (clientY - top) / scale, 6 / scale);
  if (digit) choose(digit);
  return digit !== null;
}

let announcing = 0;
function announceSoon() {
  clearTimeout(announcing);
  announcing = setTimeout(() => {
    const words = ink.isBlank && !state.opened ? "Blank." : state.reading.spoken;
    if (at("said").textContent !== words) at("said").textContent = words;
  }, ANNOUNCE_DELAY_MS);
}

// --- Drawing

const pen = () => Number(document.querySelector("[name=pen]:checked").value);

const hooks = {
  draws: () => state.opened === null,
  began: () => {
    dismiss();
    state.isDrawing = true;
    state.penUp = null;
    at("invitation").hidden = true;
    at("undo").disabled = at("clear").disabled = false; // also while the service does not answer
    wantReading();
  },
  moved: () => {
    state.picked = null;
    wantReading();
  },
  rested: () => {
    state.isDrawing = false;
    state.penUp = performance.now();
    outdated?.abort();
    wantReading();
  },
  taps: (x, y) => {
    const { left, top } = paper.getBoundingClientRect();
    return chooseAt(left + x, top + y);
  },
};

drawWithPointers(paper, ink, pen, hooks);
const keyboard = drawWithKeys(paper, ink, pen, at("nib"), hooks);

function undo() {
  if (state.opened) return;
  dismiss();
  keyboard.lift();
  ink.undo();
  state.picked = state.penUp = null;
  if (ink.isBlank) state.work++;
  wantReading();
  if (ink.isBlank) take(BLANK, state.work);
}

function clear() {
  dismiss();
  keyboard.lift();
  ink.clear();
  state.work++;
  state.picked = state.penUp = null;
  take(BLANK, state.work);
}

// --- Pictures

const pictures = new Pictures(state, picture, {
  isShown: isPictureShown,
  leaves: () => {
    dismiss();
    keyboard.lift();
  },
  changed: () => {
    take(BLANK, state.work);
    if (state.opened) showPending();
    wantReading();
  },
});

function showPending() {
  at("text").textContent = "Reading…";
  at("text").dataset.state = "busy";
  at("remark").textContent = "";
  at("help").hidden = true;
}

onPicture([...document.querySelectorAll("input[type=file]")], stage, (file) => pictures.open(file));
picture.addEventListener("click", (event) => chooseAt(event.clientX, event.clientY));

// --- Buttons and keys

at("undo").addEventListener("click", undo);
at("clear").addEventListener("click", clear);
at("previous").addEventListener("click", () => pictures.turnPage(-1));
at("next").addEventListener("click", () => pictures.turnPage(1));
at("close").addEventListener("click", () => {
  pictures.close();
  at("choose").querySelector("input").focus();
});
listenToPanel(state, show);

document.addEventListener("keydown", (event) => {
  if (event.defaultPrevented || document.querySelector("dialog[open]")) return;
  if (event.target.matches("input:not([type=checkbox], [type=radio], [type=file])")) return;
  if ((event.ctrlKey || event.metaKey) && event.key.toLowerCase() === "z") {
    event.preventDefault();
    undo();
  } else if (event.ctrlKey || event.metaKey || event.altKey) {
    return;
  } else if (event.key === "Escape" || event.key === "Delete") {
    dismiss();
    if (pictures.cropper.isOpen) pictures.cropper.giveUp();
    else if (state.opened) pictures.close();
    else clear();
  } else if (/^[0-9]$/.test(event.key) && state.picked) {
    corrections.correct(event.key);
  }
});

// --- Start

onTokenWanted(askForToken);

new ResizeObserver(() => {
  if (state.opened === null && (ink.width !== paper.clientWidth || ink.height !== paper.clientHeight)) {
    ink.fit();
    if (!ink.isBlank) wantReading();
  }
  place();
}).observe(stage);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => ink.redraw());

async function loadModel() {
  try {
    const model = await ask("/v1/model");
    const filters = await ask("/v1/filters");
    state.limits = model.limits;
    corrections.offer(model.corrections);
    explaining.start(filters);
    recovered();
  } catch (error) {
    report(error);
    if (isTemporary(error)) setTimeout(loadModel, backoff.next());
  }
}

if (at("host")) at("host").textContent = location.host; // a page without a service has none
ink.fit();
show();
loadModel();
