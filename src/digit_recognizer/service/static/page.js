// The page: reads what is drawn or opened; shows, explains and corrects the reading.

import { ask, onTokenWanted } from "./backend.js";
import { Corrections } from "./corrections.js";
import { Ink } from "./ink.js";
import { Inside } from "./inside.js";
import { drawWithKeys, drawWithPointers } from "./pen.js";
import { copy, cropped, display, fitting, onPicture, placeOf, turned } from "./picture.js";
import { Reading, SURE, isDigit, labelOf, percent } from "./reading.js";
import { NetworkError, Latest, Backoff, HttpError, bytesOf } from "./service.js";
import { notesOn, remarkOn, showBoxes, showCards, showNumbers, showProbabilities, showText, showUnread } from "./view.js";

const MIN_REQUEST_INTERVAL_MS = 30; // while the pen moves
const ANNOUNCE_DELAY_MS = 700; // without a change, until screen readers announce the reading
const UNAVAILABLE = 503;
const BLANK = { lines: [], rejected: [], notes: [], blank: true, width: 1, height: 1, pages: 1 };
const READ = `/v1/read?images=true&reduce=true&threshold=${SURE}`;

const at = (id) => document.getElementById(id);
const [paper, picture, overlay, stage] = ["paper", "picture", "overlay", "stage"].map(at);

const ink = new Ink(paper);
const inside = new Inside();
const backoff = new Backoff();
const reader = new Latest(readLatest);
const explainer = new Latest(explainLatest);
const corrections = new Corrections(() => show(), report, pictureOf);

const state = {
  reading: new Reading(BLANK),
  chosen: null,
  picked: null, // the digit that the user selected; null: the one nearest to the pen
  isDrawing: false,
  opened: null, // the picture's file, where one is open
  page: 1, // of a PDF or TIFF, from 1
  pages: 1, // how many the opened file has
  work: 0, // number of the drawing or picture; answers to earlier ones are ignored
  penUp: null, // when the pen left the paper, in milliseconds of performance.now()
  sentAt: 0,
  limits: { body_bytes: Infinity, pixels: Infinity },
};

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
    const body = opened ? await fitting(opened, picture, state.limits) : ink.png();
    const headers = { "Content-Type": body.type || "application/octet-stream" };
    const which = opened ? `page=${page}` : "upright=true";
    outdated = new AbortController();
    const answer = await ask(`${READ}&${which}`, { method: "POST", headers, body, outdated: outdated.signal });
    recovered();
    if (answer === null) return; // a newer drawing waits
    if (work === state.work) state.pages = answer.pages ?? 1;
    if (opened && answer.rotation && work === state.work) await showTurned(answer);
    take(answer, work);
    if (!isDrawing && penUp !== null) measureFrom(penUp);
  } catch (error) {
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
  explain();
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
  if (picture.naturalWidth === 0 && state.pages === 1) return close(); // not a picture: back to the drawing
  markBusy();
  at("text").textContent = "Not read";
  at("text").dataset.state = "failed";
}

/** Whether the same request may succeed later. */
function isTemporary(error) {
  return error instanceof NetworkError || error.status === UNAVAILABLE;
}

function report(error) {
  if (!(error instanceof HttpError || error instanceof NetworkError)) console.error(error);
  notify(error.message, isTemporary(error));
}

/** Show a sentence: one about something temporary until it is over, others until the user does something else. */
function notify(sentence, isTemporary) {
  const notice = at("notice");
  notice.hidden = false;
  notice.dataset.until = isTemporary ? "answer" : "action";
  if (notice.textContent !== sentence) notice.textContent = sentence;
}

function recovered() {
  backoff.reset();
  if (at("notice").dataset.until === "answer") dismiss();
}

function dismiss() {
  at("notice").hidden = true;
}

// --- Showing

function show() {
  const { reading, chosen } = state;
  const text = at("text");
  text.dataset.state = reading.state;
  if (reading.text) showText(text, reading);
  else text.textContent = { blank: "Blank", rejected: "Not a digit" }[reading.state] ?? "No digit";
  text.tabIndex = text.scrollHeight > text.clientHeight + 4 ? 0 : -1; // so that the keyboard can scroll it
  at("remark").textContent = ink.isBlank && !state.opened ? "The paper is empty." : remarkOn(reading);
  at("notes").textContent = notesOn(reading);
  at("copies").hidden = reading.state !== "digits";
  at("copied").textContent = "";
  place();
  showNumbers(at("numbers"), reading, chosen, choose);
  showUnread(at("unread"), reading, chosen, choose);
  showCards(at("cards"), reading, chosen, choose);
  corrections.show(chosen, chosen && reading.groupOf(chosen));
  showPages();
  at("undo").disabled = ink.past.length === 0 || Boolean(state.opened);
  at("clear").disabled = ink.isBlank || Boolean(state.opened);
  at("invitation").hidden = !ink.isBlank || Boolean(state.opened);
}

/** Show which page of the opened file is read, and the buttons to turn pages. */
function showPages() {
  const { page, pages } = state;
  const [previous, next] = [at("previous"), at("next")];
  const focused = document.activeElement;
  at("pages").hidden = !state.opened || pages === 1;
  at("page-number").textContent = `Page ${page} of ${pages}`;
  previous.disabled = page === 1;
  next.disabled = page >= pages;
  if (focused === previous && previous.disabled) next.focus();
  if (focused === next && next.disabled) previous.focus();
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
  showBoxes(overlay, state.reading, state.chosen, where.scale);
}

function choose(digit) {
  state.picked = state.chosen = digit;
  show();
  explain();
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

// --- Inside

function explain() {
  const { chosen } = state;
  if (chosen === null || !chosen.image || !isDigit(chosen.text)) {
    explainer.drop();
    inside.empty();
    showProbabilities(at("probabilities"), new Array(10).fill(0));
    at("is-digit").textContent = "The probability of each digit.";
    at("inside-lead").textContent =
      chosen === null
        ? "Write a digit to see, step by step, how the network reads it."
        : "Choose a digit to see, step by step, how the network for single digits reads it.";
    return;
  }
  explainer.offer({ digit: chosen, work: state.work, hasSaliency: !state.isDrawing });
}

async function explainLatest({ digit, work, hasSaliency }) {
  const pixels = bytesOf(digit.image);
  const headers = { "Content-Type": "application/octet-stream" };
  try {
    const explained = await ask(`/v1/explain?saliency=${hasSaliency}`, { method: "POST", headers, body: pixels });
    if (work === state.work && state.chosen !== null) showInside(digit, pixels, explained);
  } catch (error) {
    if (!isTemporary(error)) report(error);
  }
}

function showInside(digit, pixels, explained) {
  inside.showImage(pixels);
  inside.showLayers(explained);
  const { source, box } = sourceOf(digit.box) ?? { source: null, box: null };
  inside.showStrokes(source, box, pixels, explained.saliency && bytesOf(explained.saliency));
  at("saliency").classList.toggle("drawn", !state.opened);
  showProbabilities(at("probabilities"), explained.probabilities);
  const is = explained.is_digit;
  at("is-digit").textContent =
    is === null
      ? "The probability of each digit, for this image alone."
      : `Probability that it is a digit at all: ${percent(is)}. These values are for this image alone; the reading above also considers its neighbours.`;
  const name = digit.isRejected && labelOf(digit) === null ? "rejected mark" : (labelOf(digit) ?? digit.text);
  at("inside-lead").textContent = `How the network reads the ${name}, step by step. Point at a map to enlarge it.`;
  performance.clearMarks("maps");
  performance.mark("maps");
}

// --- Drawing

const pen = () => Number(document.querySelector("[name=pen]:checked").value);

const hooks = {
  draws: () => state.opened === null,
  began: () => {
    dismiss();
    state.isDrawing = true;
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
  state.picked = null;
  if (ink.isBlank) state.work++;
  wantReading();
  if (ink.isBlank) take(BLANK, state.work);
}

function clear() {
  dismiss();
  keyboard.lift();
  ink.clear();
  state.work++;
  state.picked = null;
  take(BLANK, state.work);
}

// --- Pictures

async function open(file, page = 1) {
  dismiss();
  keyboard.lift();
  const work = ++state.work;
  await display(picture, file);
  if (work !== state.work) return;
  Object.assign(state, { opened: file, page, pages: file === state.opened ? state.pages : 1, picked: null });
  setMode();
  take(BLANK, work);
  at("text").textContent = "Reading…";
  at("text").dataset.state = "busy";
  at("remark").textContent = "";
  wantReading();
}

function close() {
  state.work++;
  state.opened = state.picked = null;
  state.page = state.pages = 1;
  setMode();
  take(BLANK, state.work);
  wantReading();
}

function setMode() {
  const isOpen = state.opened !== null;
  stage.classList.toggle("open", isOpen);
  picture.classList.toggle("unshown", state.page > 1);
  picture.hidden = !isOpen;
  at("close").hidden = !isOpen;
  for (const id of ["undo", "clear"]) at(id).hidden = isOpen;
  document.querySelector(".pens").hidden = isOpen;
}

onPicture([...document.querySelectorAll("input[type=file]")], stage, open);
picture.addEventListener("click", (event) => chooseAt(event.clientX, event.clientY));

// --- Buttons and keys

at("undo").addEventListener("click", undo);
at("clear").addEventListener("click", clear);
at("previous").addEventListener("click", () => open(state.opened, state.page - 1));
at("next").addEventListener("click", () => open(state.opened, state.page + 1));
at("close").addEventListener("click", () => {
  dismiss();
  close();
  at("choose").querySelector("input").focus();
});
for (const [id, what] of [["copy-text", "text"], ["copy-csv", "csv"]]) {
  at(id).addEventListener("click", async () => {
    at("copied").textContent = (await copy(state.reading[what])) ? "Copied." : "The browser did not allow copying.";
  });
}

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
    if (state.opened) close();
    else clear();
  } else if (/^[0-9]$/.test(event.key) && state.picked) {
    corrections.correct(event.key);
  }
});

// --- The token

onTokenWanted((isAgain) => {
  const [dialog, field] = [at("token"), at("token-field")];
  if (isAgain) at("token-words").textContent = "The service did not accept that token.";
  if (dialog.open) return new Promise((resolve) => dialog.addEventListener("close", () => resolve(field.value || null), { once: true }));
  dialog.returnValue = "";
  field.value = "";
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => resolve(field.value || null), { once: true });
    dialog.addEventListener("cancel", () => (field.value = ""), { once: true });
  });
});

// --- Start

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
    inside.build(filters);
    recovered();
    explain();
  } catch (error) {
    report(error);
    if (isTemporary(error)) setTimeout(loadModel, backoff.next());
  }
}

if (at("host")) at("host").textContent = location.host; // a page without a service has none
ink.fit();
show();
explain();
loadModel();
