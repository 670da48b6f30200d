// The panel "Reading" and the tools: what was read, how sure that is, and what can be done.

import { copy } from "./picture.js";
import { reasonOf, showTips } from "./unread.js";
import { notesOn, remarkOn, showCards, showNumbers, showText, showUnread } from "./view.js";

const NOTHING = { blank: "Blank", rejected: "Not a digit" }; // by the state of a drawing's reading
const at = (id) => document.getElementById(id);

/** Show a reading; `state` is the page's. */
export function showPanel(state, ink, { choose, isPictureShown, picture }) {
  const { reading, chosen, opened } = state;
  const isBlank = ink.isBlank && !opened;
  const text = at("text");
  text.dataset.state = reading.state;
  if (reading.text) showText(text, reading);
  else text.textContent = opened ? "No number" : (NOTHING[reading.state] ?? "No digit");
  const isUnread = Boolean(opened) && reading.state !== "digits";
  const { width, height } = reading.answer;
  const [wide, high] = isPictureShown ? [picture.naturalWidth, picture.naturalHeight] : [width, height];
  at("remark").textContent = isBlank ? "The paper is empty." : isUnread ? reasonOf(reading, wide, high) : remarkOn(reading);
  const { rotation } = reading.answer;
  const turned = opened && rotation ? `The picture was turned by ${rotation}° to read it. ` : "";
  at("notes").textContent = turned + notesOn(reading);
  showHelp(isUnread, reading, isPictureShown);
  at("copies").hidden = reading.state !== "digits";
  at("copied").textContent = "";
  showNumbers(at("numbers"), at("more-numbers"), reading, chosen, choose);
  showUnread(at("unread"), reading, chosen, choose);
  showCards(at("cards"), reading, chosen, choose);
  showPages(state);
  at("undo").disabled = ink.past.length === 0 || Boolean(opened);
  at("clear").disabled = ink.isBlank || Boolean(opened);
  at("invitation").hidden = !ink.isBlank || Boolean(opened);
}

/** Offer help with a picture that was not read. */
function showHelp(isUnread, reading, isPictureShown) {
  at("help").hidden = !isUnread;
  if (!isUnread) return;
  showTips(at("tips"), reading);
  at("help-edit").hidden = !isPictureShown;
  at("help-unshown").hidden = isPictureShown;
}

/** Show which page of the opened file is read, and the buttons to turn pages. */
function showPages({ page, pages, opened }) {
  const [previous, next] = [at("previous"), at("next")];
  const focused = document.activeElement;
  at("pages").hidden = !opened || pages === 1;
  at("page-number").textContent = `Page ${page} of ${pages}`;
  previous.disabled = page === 1;
  next.disabled = page >= pages;
  if (focused === previous && previous.disabled) next.focus();
  if (focused === next && next.disabled) previous.focus();
}

/** Listen to the panel's own buttons; `show()` shows the reading again. */
export function listenToPanel(state, show) {
  at("more-numbers").addEventListener("click", () => {
    at("more-numbers").dataset.all = "yes";
    show();
    at("numbers").querySelector("button").focus();
  });
  for (const [id, what] of [["copy-text", "text"], ["copy-csv", "csv"]]) {
    at(id).addEventListener("click", async () => {
      at("copied").textContent = (await copy(state.reading[what])) ? "Copied." : "The browser did not allow copying.";
    });
  }
}
