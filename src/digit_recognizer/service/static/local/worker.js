// The networks in a thread of their own, so that the page stays responsive while they read.

import { Answers } from "./answers.js";
import { PictureError } from "./decode.js";
import { InferenceSession, Tensor, env } from "./onnxruntime/ort.wasm.min.js";
import { Recognizer } from "./recognizer.js";

const RUNTIME = new URL("onnxruntime/", import.meta.url);
const MODELS = new URL("models/", import.meta.url);
const [UNREADABLE, FAILED] = [422, 500]; // as the service answers

env.logLevel = "error";
env.wasm.wasmPaths = {
  mjs: new URL("ort-wasm-simd-threaded.js", RUNTIME).href,
  wasm: new URL("ort-wasm-simd-threaded.wasm", RUNTIME).href,
};
if (!crossOriginIsolated) env.wasm.numThreads = 1;

async function load() {
  const [facts, reader, regions, digits] = await Promise.all([
    fetched("facts.json").then((response) => response.json()),
    session("reader.onnx"),
    session("regions.onnx"),
    session("digits.onnx"),
  ]);
  return new Answers(new Recognizer(Tensor, { reader, regions, digits }, facts), facts);
}

async function session(name) {
  const model = await (await fetched(name)).arrayBuffer();
  return InferenceSession.create(new Uint8Array(model), { executionProviders: ["wasm"] });
}

async function fetched(name) {
  const response = await fetch(new URL(name, MODELS));
  if (!response.ok) throw new Error(`${name}: status ${response.status}`);
  return response;
}

const loading = load();
loading.then(
  () => postMessage({ isReady: true }),
  (error) => postMessage({ failed: String(error) }),
);

const outdated = new Set(); // numbers of requests whose answers are not wanted any more
class Outdated extends Error {}

let last = loading.then((answers) => answers.warmUp()); // requests are answered one after the other
addEventListener("message", ({ data }) => {
  if (data.outdated !== undefined) outdated.add(data.outdated);
  else last = last.catch(() => null).then(() => answer(data));
});

async function answer({ id, path, query, body }) {
  const stopIfOutdated = async () => {
    await received();
    if (outdated.delete(id)) throw new Outdated();
  };
  try {
    const answers = await loading;
    postMessage({ id, answer: await answers.to(path, new URLSearchParams(query), body, stopIfOutdated) });
  } catch (error) {
    if (error instanceof Outdated) postMessage({ id, answer: null });
    else postMessage({ id, error: { status: error instanceof PictureError ? UNREADABLE : FAILED, message: error.message } });
  }
}

const { port1: later, port2: now } = new MessageChannel();

/** Let messages arrive that wait. */
function received() {
  return new Promise((resolve) => {
    later.onmessage = resolve;
    now.postMessage(null);
  });
}
