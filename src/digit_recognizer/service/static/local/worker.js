// The networks in a thread of their own, so that the page stays responsive while they read.

import { Answers } from "./answers.js";
import { PictureError } from "./decode.js";
import { InferenceSession, Tensor, env } from "./onnxruntime/ort.wasm.min.js";
import { Recognizer } from "./recognizer.js";

const RUNTIME = new URL("onnxruntime/", import.meta.url);
const MODELS = new URL("models/", import.meta.url);
const UNREADABLE = 422; // as the service answers

env.logLevel = "error";
env.wasm.wasmPaths = {
  mjs: new URL("ort-wasm-simd-threaded.js", RUNTIME).href,
  wasm: new URL("ort-wasm-simd-threaded.wasm", RUNTIME).href,
};
if (!crossOriginIsolated) env.wasm.numThreads = 1;

async function load() {
  const [facts, reader, digits] = await Promise.all([
    fetched("facts.json").then((response) => response.json()),
    session("reader.onnx"),
    session("digits.onnx"),
  ]);
  return new Answers(new Recognizer(Tensor, reader, digits, facts), facts);
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

const loading = load().then(
  (answers) => {
    postMessage({ isReady: true });
    return answers;
  },
  (error) => {
    postMessage({ failed: String(error) });
    throw error;
  },
);
loading.catch(() => null);

let last = loading; // requests are answered one after the other
addEventListener("message", ({ data: { id, path, query, body } }) => {
  last = last.catch(() => null).then(async () => {
    try {
      postMessage({ id, answer: await (await loading).to(path, new URLSearchParams(query), body) });
    } catch (error) {
      postMessage({ id, error: { status: error instanceof PictureError ? UNREADABLE : 500, message: error.message } });
    }
  });
});
