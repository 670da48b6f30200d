// The notice at the top: errors, until they no longer hold.

import { HttpError, NetworkError, Backoff } from "./service.js";

const UNAVAILABLE = 503;

export const backoff = new Backoff();

/** Whether the same request may succeed later. */
export function isTemporary(error) {
  return error instanceof NetworkError || error.status === UNAVAILABLE;
}

export function report(error) {
  if (!(error instanceof HttpError || error instanceof NetworkError)) console.error(error);
  notify(error.message, isTemporary(error));
}

/** Show a sentence: one about something temporary until it is over, others until the user does something else. */
export function notify(sentence, isTemporary = false) {
  const notice = document.getElementById("notice");
  notice.hidden = false;
  notice.dataset.until = isTemporary ? "answer" : "action";
  if (notice.textContent !== sentence) notice.textContent = sentence;
}

/** The service has answered: what was temporary is over. */
export function recovered() {
  backoff.reset();
  if (document.getElementById("notice").dataset.until === "answer") dismiss();
}

export function dismiss() {
  document.getElementById("notice").hidden = true;
}
