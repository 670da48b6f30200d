// Shows a reading: boxes over the paper, cards and a remark beside it.

import { SURE, ranked, confidenceOf, count, labelOf, percent } from "./reading.js";

const CARD_DIGITS = 3; // the most likely ones
const LABEL_PX = 26; // height of the label above a box

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

/** Draw a box over each digit and each rejected mark; `scale` is CSS pixels per pixel of the picture. */
export function showBoxes(overlay, reading, chosen, scale) {
  const marks = [
    ...reading.digits.map((digit) => ({ box: digit.box, text: labelOf(digit) ?? "not a digit", kind: kindOf(digit, chosen) })),
    ...reading.rejected.map((mark) => ({ box: mark.box, text: "not a digit", kind: kindOf(mark, chosen) })),
  ];
  match(overlay, marks.length, () => {
    const made = element("div", "box");
    made.append(element("b"));
    return made;
  });
  marks.forEach(({ box, text, kind }, index) => {
    const made = overlay.children[index];
    made.className = `box ${kind}${box.y * scale < LABEL_PX ? " low" : ""}`;
    made.firstElementChild.textContent = text;
    const margin = 5;
    made.style.transform = `translate(${box.x * scale - margin}px, ${box.y * scale - margin}px)`;
    made.style.width = `${box.width * scale + 2 * margin}px`;
    made.style.height = `${box.height * scale + 2 * margin}px`;
  });
}

function kindOf(digit, chosen) {
  const sure = digit.correction ? "corrected" : digit.isRejected ? "rejected" : digit.confidence >= SURE ? "sure" : "unsure";
  return digit === chosen ? `${sure} chosen` : sure;
}

/** Show a card with the most likely answers for each digit, and for a rejected mark if it is selected. */
export function showCards(cards, reading, chosen, choose) {
  const { digits } = reading;
  const shown = chosen === null || digits.includes(chosen) ? digits : [...digits, chosen];
  match(cards, shown.length, () => {
    const [item, button, bars] = [element("li"), element("button"), element("span", "bars")];
    button.type = "button";
    button.addEventListener("click", () => choose(item.mark));
    for (let i = 0; i < CARD_DIGITS; i++) bars.append(bar());
    button.append(element("b"), bars);
    item.append(button);
    return item;
  });
  shown.forEach((digit, index) => {
    cards.children[index].mark = digit;
    const button = cards.children[index].firstElementChild;
    const [name, bars] = button.children;
    button.className = `card ${kindOf(digit, chosen)}`;
    button.setAttribute("aria-pressed", digit === chosen);
    name.textContent = labelOf(digit) ?? "–";
    ranked(digit).slice(0, CARD_DIGITS).forEach(({ digit: value, probability }, place) => fillBar(bars.children[place], value, probability));
  });
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

/** Say how confident the reading is, and what was rejected. */
export function remarkOn(reading) {
  const rejected = reading.rejected.length;
  if (reading.state === "blank") return "The picture is empty.";
  if (reading.state === "rejected") return `The network recognises ${rejected === 1 ? "no digit in this mark" : `no digits in these ${rejected} marks`}.`;
  const unsure = reading.digits.filter((digit) => confidenceOf(digit) < SURE);
  const parts = [];
  if (unsure.length === 1) parts.push(doubt(unsure[0]));
  else if (unsure.length) parts.push(`Not sure about ${count(unsure.length, "digit")}, shown in orange.`);
  else parts.push(reading.marks.some(({ correction }) => correction) ? "Includes your corrections." : "Sure about every digit.");
  if (rejected) parts.push(`${count(rejected, "mark")} ${rejected === 1 ? "is" : "are"} not a digit.`);
  return parts.join(" ");
}

function doubt(digit) {
  const [first, second] = ranked(digit);
  const other = second.probability > 0.02 ? ` it may be a ${second.digit}.` : " it may not be a digit.";
  return `Not sure about the ${first.digit}:${other}`;
}
