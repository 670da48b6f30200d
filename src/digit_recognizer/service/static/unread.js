// Why a picture was not read, as far as the reader can tell, and what may help.

const TIPS = [
  ["Words, ruled lines, tables", "are not read as numbers, but may hide them. Crop the picture to the numbers."],
  ["Too small", "Digits should be at least 20 pixels high. Crop a large picture, or take it from nearer."],
  ["On its side", "Turn the picture until it is upright."],
  ["Too dark, blurred, pale", "The ink hardly differs from the paper. Take the picture again, with more light."],
];
const TOO_DARK = TIPS.length - 1;

/** Say why nothing of a picture was read. */
export function reasonOf(reading, width, height) {
  const size = `${width}×${height} pixels`;
  if (reading.answer.blank) return `This picture of ${size} shows nothing: it is equally bright almost everywhere.`;
  const { rejected } = reading;
  if (rejected.length === 0) return `No character was found in this picture of ${size}.`;
  const reasons = new Map();
  for (const { reason } of rejected) reasons.set(reason, (reasons.get(reason) ?? 0) + 1);
  const each = [...reasons].map(([reason, number]) => (reasons.size > 1 ? `${reason} (${number})` : reason)).join(", ");
  const found = rejected.length === 1 ? "1 mark was" : `${rejected.length} marks were`;
  return `${found} found in this picture of ${size}, but no number: ${each}.`;
}

/** Show what may help: for a blank picture only more light. */
export function showTips(list, reading) {
  const shown = reading.answer.blank ? TIPS.slice(TOO_DARK) : TIPS;
  list.replaceChildren(
    ...shown.map(([title, text]) => {
      const [item, name] = [document.createElement("li"), document.createElement("b")];
      name.textContent = title;
      item.append(name, ` ${text}`);
      return item;
    }),
  );
}
