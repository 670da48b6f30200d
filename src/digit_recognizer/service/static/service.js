// What the service is asked, and how: one token for all requests, and its own sentences where it refuses.

const TOKEN = "digits-token"; // the key in sessionStorage
const RETRIES = [500, 1000, 2000, 4000]; // milliseconds until the service is asked again, the last one for ever

/** The service answered, and refused: `message` is its sentence. */
export class Refusal extends Error {
  constructor(status, sentence) {
    super(sentence);
    this.status = status;
  }
}

/** The service did not answer. */
export class Gone extends Error {}

let askForToken = async () => null;

/** Say how a user is asked for the token: `ask(again)` gives it, or null. */
export function onTokenWanted(ask) {
  askForToken = ask;
}

/** Ask the service, with the token where one is wanted; give its answer's JSON, null where it has none. */
export async function ask(path, options = {}) {
  let token = sessionStorage.getItem(TOKEN);
  for (let again = token !== null; ; again = true) {
    const response = await send(path, options, token);
    if (response.status !== 401) return answer(response);
    token = sessionStorage.getItem(TOKEN) === token ? await askForToken(again) : sessionStorage.getItem(TOKEN);
    if (token === null) return answer(response);
    sessionStorage.setItem(TOKEN, token);
  }
}

async function send(path, options, token) {
  const headers = { ...options.headers, ...(token === null ? {} : { Authorization: `Bearer ${token}` }) };
  try {
    return await fetch(path, { ...options, headers });
  } catch {
    throw new Gone("The service does not answer. Trying again …");
  }
}

async function answer(response) {
  if (response.status === 204) return null;
  const text = await response.text();
  if (response.ok) return JSON.parse(text);
  throw new Refusal(response.status, sentence(text) ?? `The service answered with status ${response.status}.`);
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
 * Runs a job for the newest of many values, one at a time.
 *
 * A value that comes while the job runs waits; one that waits already is dropped. So a slow service slows the
 * pictures down and never lags behind.
 */
export class Newest {
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

/** Counts failures in a row and says how long to wait after each. */
export class Patience {
  constructor() {
    this.failures = 0;
  }

  next() {
    return RETRIES[Math.min(this.failures++, RETRIES.length - 1)];
  }

  reset() {
    this.failures = 0;
  }
}

/** Give bytes for base64. */
export function bytesOf(base64) {
  return Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));
}
