// What a number as it is written amounts to, as a decimal number in a text. In Python: reading/decimals.py.

const MARKS = [".", ","];
const PLAIN = /^([+-]?)([\d.,]*\d)%?$/; // a sign, and what may be a number
const DECIMAL = {
  ".": /^(\d+|\d{1,3}(?:,\d{3})+)?(?:\.(\d+))?$/,
  ",": /^(\d+|\d{1,3}(?:\.\d{3})+)?(?:,(\d+))?$/,
}; // by the decimal mark: the digits before it, perhaps in groups of three, and after it

/** Return what a text amounts to with a decimal mark; null if it is not a plain number. */
export function valueOf(text, mark) {
  const plain = PLAIN.exec(text);
  const parts = plain && DECIMAL[mark].exec(plain[2]);
  if (!parts) return null;
  const whole = (parts[1] ?? "").replace(/\D/g, "");
  if (whole.startsWith("0") && whole !== parts[1]) return null; // no group of three comes after a 0
  const sign = plain[1] === "-" ? "-" : "";
  return `${sign}${whole.replace(/^0+(?=.)/, "") || "0"}${parts[2] ? `.${parts[2]}` : ""}`;
}

/** Return whether the decimal mark changes the value, as of "1,234". */
export function isAmbiguous(text) {
  const [point, comma] = valuesOf(text);
  return point !== null && comma !== null && shortest(point) !== shortest(comma);
}

/** Return the values of a text with each decimal mark. */
export function valuesOf(text) {
  return MARKS.map((mark) => valueOf(text, mark));
}

/** Return the decimal mark of most numbers that can have only one; null if there is no majority. */
export function usualMark(texts) {
  const votes = { ".": 0, ",": 0 };
  for (const text of texts) {
    const possible = MARKS.filter((mark) => valueOf(text, mark) !== null);
    if (possible.length === 1) votes[possible[0]]++;
  }
  if (votes["."] === votes[","]) return null;
  return votes["."] > votes[","] ? "." : ",";
}

/** Return a value without zeros that do not count. */
function shortest(value) {
  return (value.includes(".") ? value.replace(/\.?0+$/, "") : value).replace(/^-0$/, "0");
}
