// Requests to the service: the token, errors and retries.

const SERVICE = new URL("..", import.meta.url).href.slice(0, -1); // this file is in its folder "static"
const TOKEN_KEY = "digits-token"; // in sessionStorage
const RETRY_DELAYS_MS = [500, 1000, 2000, 4000]; // the last one repeats

/** The service answered with an error; `message` is its sentence. */
export class HttpError extends Error {
  constructor(status, sentence) {
    super(sentence);
    this.status = status;
  }
}

/** The service did not answer. */
export class NetworkError extends Error {}

let askForToken = async () => null;

/** Set how the user is asked for the token: `ask(isAgain)` returns it, or null. */
export function onTokenWanted(ask) {
  askForToken = ask;
}

/** Return what is drawn on a canvas as `ask` sends it: as PNG. */
export function asBody(canvas) {
  const address = canvas.toDataURL("image/png");
  return new Blob([bytesOf(address.slice(address.indexOf(",") + 1))], { type: "image/png" });
}

/** Send a request, with the token if needed; return the JSON of the answer, or null if it has none. */
export async function ask(path, options = {}) {
  let token = sessionStorage.getItem(TOKEN_KEY);
  for (let again = token !== null; ; again = true) {
    const response = await send(path, options, token);
    if (response.status !== 401) return answer(response);
    token = sessionStorage.getItem(TOKEN_KEY) === token ? await askForToken(again) : sessionStorage.getItem(TOKEN_KEY);
    if (token === null) return answer(response);
    sessionStorage.setItem(TOKEN_KEY, token);
  }
}

async function send(path, options, token) {
  const headers = { ...options.headers, ...(token === null ? {} : { Authorization: `Bearer ${token}` }) };
  try {
    return await fetch(SERVICE + path, { ...options, headers });
  } catch {
    throw silence();
  }
}

function silence() {
  return new NetworkError("The service does not answer. Retrying…");
}

async function answer(response) {
  if (response.status === 204) return null;
  const text = await response.text().catch(() => {
    throw silence();
  });
  if (response.ok) return JSON.parse(text);
  throw new HttpError(response.status, sentence(text) ?? `The service answered with status ${response.status}.`);
}

function sentence(text) {
  try {
    const { error } = JSON.parse(text);
    return typeof error === "string" ? error[0].toUpperCase() + error.slice(1).replace(/([^.!?…])$/, "$1.") : null;
  } catch {
    return null;
  }
}

/**
 * Runs a job for the latest value, one at a time.
 *
 * A value that arrives while the job runs waits and replaces one that is already waiting. So with a slow service,
 * readings are fewer but never out of date.
 */
export class Latest {
  constructor(job) {
    this.job = job;
    this.waiting = null;
    this.isRunning = false;
  }

  offer(value) {
    this.waiting = { value };
    if (!this.isRunning) this.run();
  }

  drop() {
    this.waiting = null;
  }

  async run() {
    this.isRunning = true;
    while (this.waiting) {
      const { value } = this.waiting;
      this.waiting = null;
      await this.job(value);
    }
    this.isRunning = false;
  }
}

/** Counts consecutive failures; `next` returns the delay before the next attempt. */
export class Backoff {
  constructor() {
    this.failures = 0;
  }

  next() {
    return RETRY_DELAYS_MS[Math.min(this.failures++, RETRY_DELAYS_MS.length - 1)];
  }

  reset() {
    this.failures = 0;
  }
}

/** Decode base64. */
export function bytesOf(base64) {
  return Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));
}
