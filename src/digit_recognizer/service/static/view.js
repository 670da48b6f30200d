// Shows a reading: boxes over the paper; numbers, cards, unread marks and a remark beside it.

import { SURE, ranked, confidenceOf, count, isDigit, labelOf, percent } from "./reading.js";

const CARD_ANSWERS = 3; // the most likely ones
const LABEL_PX = 30; // height of the label above a box, with its distance
const LETTER_PX = 9; // width of a letter of a label
const LABEL_PADDING_PX = 14;
const MARGIN_PX = 5; // around a box
const TOLERANCE_PX = 3; // of a mark, which a label may cover
const MIN_ALTERNATIVE = 0.005; // probability of another text that is shown
const TEXT_SIZES = [
  { size: "giant", lines: 1, letters: 6 },
  { size: "huge", lines: 2, letters: 10 },
  { size: "large", lines: 3, letters: 14 },
  { size: "medium", lines: 5, letters: 22 },
]; // as many lines, and letters of a line, fit into the room for the text
const MAX_LARGE_CARDS = 4; // of the digits of a number; more are shown smaller
const MAX_NUMBERS = 12; // that are listed before the user asks for all
const MAX_UNREAD = 50; // unread marks that are listed

/** Give `parent` exactly `number` children, made by `make`. */
function match(parent, number, make) {
  while (parent.children.length > number) parent.lastElementChild.remove();
  while (parent.children.length < number) parent.append(make());
}

export function element(name, className = "", text = "") {
  const made = document.createElement(name);
  if (className) made.className = className;
  if (text !== "") made.textContent = text;
  return made;
}

export function button(className, text = "") {
  const made = element("button", className, text);
  made.type = "button";
  return made;
}

export function makeBar() {
  const made = element("span", "bar");
  const track = element("span", "track");
  track.append(element("span"));
  made.append(element("i"), track, element("em"));
  return made;
}

export function fillBar(made, name, fraction) {
  const [label, track, figure] = made.children;
  label.textContent = name;
  track.firstElementChild.style.transform = `scaleX(${fraction.toFixed(4)})`;
  figure.textContent = percent(fraction);
}

/**
 * Show the text of a reading, a block for each line; numbers that are not sure get a question mark, which is not
 * copied. Long texts are shown smaller, so that all of them is seen.
 */
export function showText(output, reading) {
  const lines = reading.lines.map((line) => {
    const made = element("span", "line");
    made.append(
      ...line.flatMap((number, place) => [...(place ? [" "] : []), element("span", number.isSure ? "" : "unsure", number.text)]),
    );
    return made;
  });
  const longest = Math.max(...reading.lines.map((line) => line.reduce((sum, { text }) => sum + text.length + 1, 0)));
  output.dataset.size = TEXT_SIZES.find((each) => lines.length <= each.lines && longest <= each.letters)?.size ?? "small";
  output.classList.toggle("several", lines.length > 1);
  output.replaceChildren(...lines.flatMap((line, place) => [...(place ? ["\n"] : []), line]));
}

/**
 * Draw a box over each character and each rejected mark; `scale` is CSS pixels per pixel of the picture, `width` where
 * labels must end, in CSS pixels.
 */
export function showBoxes(overlay, reading, chosen, scale, width) {
  const marks = [
    ...reading.lines.flat().flatMap((number) => labelled(number, scale)),
    ...reading.characters.filter((mark) => labelOf(mark) === null && !mark.number?.correction).map((mark) => ({ mark, text: "not a digit" })),
    ...reading.rejected.map((mark) => ({ mark, text: mark.reason })),
  ];
  match(overlay, marks.length, () => {
    const made = element("div", "box");
    made.append(element("b"));
    return made;
  });
  const shown = visibleLabels(marks, chosen, scale, width);
  marks.forEach(({ mark, text }, index) => {
    const made = overlay.children[index];
    const { box } = mark;
    made.className = `box ${kindOf(mark, chosen)}${isLow(box, scale) ? " low" : ""}${isAtEnd(box, text, scale, width) ? " end" : ""}${shown.has(index) ? "" : " mute"}`;
    made.firstElementChild.textContent = text;
    made.style.transform = `translate(${box.x * scale - MARGIN_PX}px, ${box.y * scale - MARGIN_PX}px)`;
    made.style.width = `${box.width * scale + 2 * MARGIN_PX}px`;
    made.style.height = `${box.height * scale + 2 * MARGIN_PX}px`;
  });
}

/** Return the marks of a number with their labels: each its own, or only the first one, where they are narrow. */
function labelled({ marks, text, isSure, number }, scale) {
  const isNarrow = marks.length > 1 && marks.some(({ box }, place) => (marks[place + 1]?.box.x - box.x) * scale < widthOf("0"));
  const whole = `${text}${isSure ? "" : "?"}`;
  const asWhole = isNarrow || Boolean(number?.correction);
  return marks.map((mark, place) => ({ mark, owner: marks[0], text: !asWhole ? labelOf(mark) : place ? "" : whole }));
}

function widthOf(text) {
  return text.length * LETTER_PX + LABEL_PADDING_PX;
}

function isLow(box, scale) {
  return box.y * scale < LABEL_PX;
}

/** Whether a label would leave the picture on the right, and so ends with its box. */
function isAtEnd(box, text, scale, width) {
  return box.x * scale + widthOf(text) > width;
}

/**
 * Return the indices of the labels that are shown: those of the selected number, and those of numbers whose
 * labels cover no label before them and no mark.
 */
function visibleLabels(marks, chosen, scale, width) {
  const places = marks.map(({ mark: { box }, text }) => {
    const top = isLow(box, scale) ? (box.y + box.height) * scale : box.y * scale - LABEL_PX;
    const left = isAtEnd(box, text, scale, width) ? (box.x + box.width) * scale - widthOf(text) : box.x * scale;
    return { left, right: left + widthOf(text), top, bottom: top + LABEL_PX };
  });
  const boxes = marks.map(({ mark: { box } }) => ({
    left: box.x * scale + TOLERANCE_PX,
    right: (box.x + box.width) * scale - TOLERANCE_PX,
    top: box.y * scale + TOLERANCE_PX,
    bottom: (box.y + box.height) * scale - TOLERANCE_PX,
  }));
  const isFree = (place, others) =>
    others.every((other) => place.left >= other.right || place.right <= other.left || place.top >= other.bottom || place.bottom <= other.top);
  const labels = new Map(); // the indices of the labels of each number, and of each other mark
  marks.forEach(({ mark, owner = mark, text }, index) => {
    if (text) labels.set(owner, [...(labels.get(owner) ?? []), index]);
  });
  const selected = marks.find(({ mark }) => mark === chosen)?.owner ?? chosen;
  const shown = [];
  for (const [owner, indices] of [...labels].sort(([one], [other]) => (other === selected) - (one === selected))) {
    const taken = [...boxes, ...shown.map((index) => places[index])];
    if (owner === selected || indices.every((index) => isFree(places[index], taken))) shown.push(...indices);
  }
  return new Set(shown);
}

function kindOf(mark, chosen) {
  const isCorrected = mark.correction || mark.number?.correction;
  const sure = isCorrected ? "corrected" : mark.isRejected ? "rejected" : mark.confidence >= SURE ? "sure" : "unsure";
  return mark === chosen ? `${sure} chosen` : sure;
}

/** Return the other texts that a number may be, as far as they are not hopeless. */
export function alternativesOf(number) {
  return (number?.alternatives ?? []).filter(({ probability }) => probability >= MIN_ALTERNATIVE);
}

/** Show each number with its confidence; its alternatives appear when it is pointed at. */
export function showNumbers(list, more, reading, chosen, choose) {
  const all = reading.lines.flat();
  const isShort = more.dataset.all !== "yes" && all.length > MAX_NUMBERS && !all.slice(MAX_NUMBERS).some(({ marks }) => marks.includes(chosen));
  const numbers = isShort ? all.slice(0, MAX_NUMBERS) : all;
  more.hidden = !isShort;
  more.textContent = `Show all ${all.length} numbers`;
  match(list, numbers.length, () => {
    const [item, made] = [element("li"), button("")];
    made.addEventListener("click", () => choose(item.mark));
    made.append(element("b"), element("span"));
    item.append(made);
    return item;
  });
  numbers.forEach(({ marks, number, text, confidence, isSure }, index) => {
    const item = list.children[index];
    item.mark = marks.includes(chosen) ? chosen : marks.find((mark) => isDigit(mark.text)) ?? marks[0];
    const made = item.firstElementChild;
    const isCorrected = number?.correction || marks.some(({ correction }) => correction);
    made.className = `number ${isCorrected ? "corrected" : isSure ? "sure" : "unsure"}`;
    made.setAttribute("aria-pressed", marks.includes(chosen));
    const [name, figure] = made.children;
    name.textContent = isSure ? text : `${text}?`;
    figure.textContent = isCorrected ? "corrected" : percent(confidence);
    const others = isCorrected ? [] : alternativesOf(number);
    made.title = others.length ? `Or ${others.map((each) => `${each.text} (${percent(each.probability)})`).join(", ")}` : "";
  });
}

/** Show a card with the most likely answers for each digit of the selected number, and for the selected mark. */
export function showCards(cards, reading, chosen, choose) {
  const number = chosen && reading.groupOf(chosen);
  const shown = number === null ? (chosen === null ? [] : [chosen]) : number.marks.filter((mark) => mark === chosen || isDigit(mark.text));
  cards.classList.toggle("many", shown.length > MAX_LARGE_CARDS);
  match(cards, shown.length, () => {
    const [item, made, bars] = [element("li"), button(""), element("span", "bars")];
    made.addEventListener("click", () => choose(item.mark));
    for (let i = 0; i < CARD_ANSWERS; i++) bars.append(makeBar());
    made.append(element("b"), element("span", "confidence"), bars);
    item.append(made);
    return item;
  });
  shown.forEach((mark, index) => {
    cards.children[index].mark = mark;
    const made = cards.children[index].firstElementChild;
    const [name, figure, bars] = made.children;
    made.className = `card ${kindOf(mark, chosen)}`;
    made.setAttribute("aria-pressed", mark === chosen);
    name.textContent = labelOf(mark) ?? "–";
    const answers = ranked(mark).slice(0, CARD_ANSWERS);
    figure.textContent = percent(answers[0].probability);
    made.title = `May be ${answers.map(({ text, probability }) => `${text} (${percent(probability)})`).join(", ")}`;
    answers.forEach(({ text, probability }, place) => fillBar(bars.children[place], text, probability));
  });
}

/** List the marks that were not read, with the reasons; those that can be selected are buttons. */
export function showUnread(details, reading, chosen, choose) {
  const { rejected } = reading;
  details.hidden = rejected.length === 0;
  const [summary, list] = details.children;
  summary.textContent = `${count(rejected.length, "mark")} not read`;
  const shown = rejected.slice(0, MAX_UNREAD).map((mark) => {
    const item = element("li");
    const isKnown = mark.probabilities !== undefined;
    const guess = isKnown ? `, most like ${mark.text} (${percent(mark.confidence)})` : "";
    const made = isKnown ? button("quiet", mark.reason + guess) : element("span", "", mark.reason);
    if (isKnown) {
      made.setAttribute("aria-pressed", mark === chosen);
      made.addEventListener("click", () => choose(mark));
    }
    item.append(made);
    return item;
  });
  const more = rejected.length - shown.length;
  list.replaceChildren(...shown, ...(more > 0 ? [element("li", "", `and ${more} more`)] : []));
}

/** Say how confident the reading is, and what could not be decided. */
export function remarkOn(reading) {
  const rejected = reading.rejected.length;
  if (reading.state === "rejected") {
    if (!rejected) return "The network recognises no digit.";
    return `According to the network, ${rejected === 1 ? "this mark is not a digit" : `these ${rejected} marks are not digits`}.`;
  }
  const unsure = reading.characters.filter((mark) => confidenceOf(mark) < SURE);
  const numbers = reading.lines.flat().filter(({ isSure }) => !isSure);
  const parts = [];
  if (unsure.length === 1) parts.push(doubt(unsure[0]));
  else if (unsure.length) parts.push(`Not sure about ${count(unsure.length, "character")}, shown in orange.`);
  else if (numbers.length) parts.push(`Not sure about ${count(numbers.length, "number")}, marked with a question mark.`);
  else if (reading.corrections.length || reading.numberCorrections.length) parts.push("Includes your corrections.");
  else parts.push("Sure about every digit.");
  return parts.join(" ");
}

/** Say what could not be decided. */
export function notesOn({ answer: { notes } }) {
  return (notes ?? []).map((note) => `${note}.`).join(" ");
}

function doubt(mark) {
  const [first, second] = ranked(mark);
  const other = second.probability > 0.02 ? ` it may be a ${second.text}.` : " it may not be a digit.";
  return `Not sure about the ${first.text}:${other}`;
}
