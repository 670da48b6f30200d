// Shows a reading: boxes over the paper; numbers, cards, unread marks and a remark beside it.

import { SURE, ranked, confidenceOf, count, isDigit, labelOf, percent } from "./reading.js";

const CARD_ANSWERS = 3; // the most likely ones
const LABEL_PX = 30; // height of the label above a box, with its distance
const LETTER_PX = 9; // width of a letter of a label
const LABEL_PADDING_PX = 14;
const MARGIN_PX = 5; // around a box
const TOLERANCE_PX = 3; // of a mark, which a label may cover
const MIN_ALTERNATIVE = 0.005; // probability of another text that is shown
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

function bar() {
  const made = element("span", "bar");
  const track = element("span", "track");
  track.append(element("span"));
  made.append(element("i"), track, element("em"));
  return made;
}

function fillBar(made, name, fraction) {
  const [label, track, figure] = made.children;
  label.textContent = name;
  track.firstElementChild.style.transform = `scaleX(${fraction.toFixed(4)})`;
  figure.textContent = percent(fraction);
}

/** Show the text of a reading; numbers that are not sure get a question mark, which is not copied. */
export function showText(output, reading) {
  const lines = reading.lines.map((line) =>
    line.flatMap((number, place) => [...(place ? [" "] : []), element("span", number.isSure ? "" : "unsure", number.text)]),
  );
  output.replaceChildren(...lines.flatMap((line, place) => [...(place ? ["\n"] : []), ...line]));
}

/** Draw a box over each character and each rejected mark; `scale` is CSS pixels per pixel of the picture. */
export function showBoxes(overlay, reading, chosen, scale) {
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
  const shown = visibleLabels(marks, chosen, scale);
  marks.forEach(({ mark, text }, index) => {
    const made = overlay.children[index];
    const { box } = mark;
    made.className = `box ${kindOf(mark, chosen)}${isLow(box, scale) ? " low" : ""}${shown.has(index) ? "" : " mute"}`;
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

/**
 * Return the indices of the labels that are shown: those of the selected number, and those of numbers whose
 * labels cover no label before them and no mark.
 */
function visibleLabels(marks, chosen, scale) {
  const places = marks.map(({ mark: { box }, text }) => {
    const top = isLow(box, scale) ? (box.y + box.height) * scale : box.y * scale - LABEL_PX;
    return { left: box.x * scale, right: box.x * scale + widthOf(text), top, bottom: top + LABEL_PX };
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
export function showNumbers(list, reading, chosen, choose) {
  const numbers = reading.lines.flat();
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
  match(cards, shown.length, () => {
    const [item, made, bars] = [element("li"), button(""), element("span", "bars")];
    made.addEventListener("click", () => choose(item.mark));
    for (let i = 0; i < CARD_ANSWERS; i++) bars.append(bar());
    made.append(element("b"), bars);
    item.append(made);
    return item;
  });
  shown.forEach((mark, index) => {
    cards.children[index].mark = mark;
    const made = cards.children[index].firstElementChild;
    const [name, bars] = made.children;
    made.className = `card ${kindOf(mark, chosen)}`;
    made.setAttribute("aria-pressed", mark === chosen);
    name.textContent = labelOf(mark) ?? "–";
    ranked(mark).slice(0, CARD_ANSWERS).forEach(({ text, probability }, place) => fillBar(bars.children[place], text, probability));
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

/** Show the ten probabilities of one digit as bars. */
export function showProbabilities(list, probabilities) {
  match(list, probabilities.length, () => {
    const item = element("li");
    item.append(bar());
    return item;
  });
  const best = probabilities.indexOf(Math.max(...probabilities));
  probabilities.forEach((probability, value) => {
    const item = list.children[value];
    item.classList.toggle("best", value === best && probability > 0);
    fillBar(item.firstElementChild, value, probability);
  });
}

/** Say how confident the reading is, and what could not be decided. */
export function remarkOn(reading) {
  const rejected = reading.rejected.length;
  if (reading.state === "blank") return "The picture is empty.";
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
