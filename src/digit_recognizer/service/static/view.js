// A reading ► boxes over the paper, cards beside it, words.

import { SURE, chances, confidenceOf, count, labelOf, percent } from "./reading.js";

const LIKELIEST = 3; // digits that a card names
const CHIP = 26; // pixels above a box that its label needs

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

function fillBar(made, name, share) {
  const [label, track, figure] = made.children;
  label.textContent = name;
  track.firstElementChild.style.transform = `scaleX(${share.toFixed(4)})`;
  figure.textContent = percent(share);
}

/** Draw a box over each digit and each mark that is none; `scale` is pixels on the screen for one of the picture. */
export function showBoxes(overlay, reading, chosen, scale) {
  const marks = [
    ...reading.digits.map((digit) => ({ box: digit.box, text: labelOf(digit) ?? "no digit", kind: kindOf(digit, chosen) })),
    ...reading.rejected.map((mark) => ({ box: mark.box, text: "not a digit", kind: kindOf(mark, chosen) })),
  ];
  match(overlay, marks.length, () => {
    const made = element("div", "box");
    made.append(element("b"));
    return made;
  });
  marks.forEach(({ box, text, kind }, index) => {
    const made = overlay.children[index];
    made.className = `box ${kind}${box.y * scale < CHIP ? " low" : ""}`;
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

/** Show a card for each digit, and for a chosen mark that is none: what it is, and its likeliest answers. */
export function showCards(cards, reading, chosen, choose) {
  const { digits } = reading;
  const shown = chosen === null || digits.includes(chosen) ? digits : [...digits, chosen];
  match(cards, shown.length, () => {
    const [item, button, bars] = [element("li"), element("button"), element("span", "bars")];
    button.type = "button";
    button.addEventListener("click", () => choose(item.mark));
    for (let i = 0; i < LIKELIEST; i++) bars.append(bar());
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
    chances(digit).slice(0, LIKELIEST).forEach(({ digit: value, share }, place) => fillBar(bars.children[place], value, share));
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
  probabilities.forEach((share, value) => {
    const item = list.children[value];
    item.classList.toggle("best", value === best && share > 0);
    fillBar(item.firstElementChild, value, share);
  });
}

/** Say under the text how sure the reading is, and what was no digit. */
export function remarkOn(reading) {
  const rejected = reading.rejected.length;
  if (reading.state === "blank") return "There is no ink.";
  if (reading.state === "rejected") return `${rejected === 1 ? "This mark is" : `These ${rejected} marks are`} none that the network knows.`;
  const unsure = reading.digits.filter((digit) => confidenceOf(digit) < SURE);
  const parts = [];
  if (unsure.length === 1) parts.push(doubt(unsure[0]));
  else if (unsure.length) parts.push(`Not sure of ${count(unsure.length, "digit")}: those in orange.`);
  else parts.push(reading.marks.some(({ correction }) => correction) ? "With your corrections." : "Sure of every digit.");
  if (rejected) parts.push(`${count(rejected, "mark")} ${rejected === 1 ? "is" : "are"} not a digit.`);
  return parts.join(" ");
}

function doubt(digit) {
  const [first, second] = chances(digit);
  const other = second.share > 0.02 ? ` it may be a ${second.digit}.` : " it may be none.";
  return `Not sure of the ${first.digit}:${other}`;
}
