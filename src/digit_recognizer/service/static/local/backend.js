// Answers the page's requests in the browser itself, without a service: `ask` as in service.js.

import { HttpError, NetworkError } from "../service.js";

const LOADING_DELAY_MS = 500; // until the page says that it loads the network
const NOT_LOADED = "The neural network of this page could not be loaded. Retrying…";

let reader = null; // a `Reader`, once something was asked

/**
 * Answer a request of the page; return what the service's JSON would be.
 *
 * The signal `outdated` says that the answer is not wanted any more: it is then null, if it is not there yet.
 */
export async function ask(path, { body, outdated } = {}) {
  if (reader === null || reader.isBroken) reader = new Reader();
  return reader.ask(path, body, outdated);
}

/** Return what is drawn on a canvas as `ask` takes it: its pixels. */
export function asBody(canvas) {
  return canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
}

/** Do nothing: there is no service that could want a token. */
export function onTokenWanted() {}

/** The worker that reads. */
class Reader {
  constructor() {
    this.isBroken = false;
    this.waiting = new Map(); // by the number of a request
    this.count = 0;
    this.worker = new Worker(new URL("worker.js", import.meta.url), { type: "module" });
    this.worker.addEventListener("message", ({ data }) => this.received(data));
    this.worker.addEventListener("error", () => this.broke());
    this.telling = setTimeout(() => showLoading(true), LOADING_DELAY_MS);
  }

  ask(path, body, outdated) {
    const [name, query = ""] = path.split("?");
    const id = this.count++;
    outdated?.addEventListener("abort", () => this.waiting.has(id) && this.worker.postMessage({ outdated: id }));
    return new Promise((resolve, reject) => {
      this.waiting.set(id, { resolve, reject });
      this.worker.postMessage({ id, path: name, query, body });
    });
  }

  received({ id, answer, error, isReady, failed }) {
    if (failed) return this.broke();
    if (isReady) return this.loaded();
    const { resolve, reject } = this.waiting.get(id);
    this.waiting.delete(id);
    if (error) reject(new HttpError(error.status, error.message));
    else resolve(answer);
  }

  loaded() {
    clearTimeout(this.telling);
    showLoading(false);
  }

  /** Give up: the next request starts another worker. */
  broke() {
    this.isBroken = true;
    this.loaded();
    this.worker.terminate();
    for (const { reject } of this.waiting.values()) reject(new NetworkError(NOT_LOADED));
    this.waiting.clear();
  }
}

function showLoading(isShown) {
  document.getElementById("loading").hidden = !isShown;
}
