// The section "Inside the network": one digit's way from the image to the answer, step by step.

import { AnswerStep } from "./answer.js";
import { EXAMPLE, example } from "./example.js";
import { ImageStep } from "./image.js";
import { LayerStep } from "./layer.js";
import { onLook } from "./maps.js";
import { Network, Values } from "./network.js";
import { bytesOf } from "./service.js";
import { showStrokes } from "./strokes.js";

const MAX_FRAMED = 4; // maps that are framed because the chosen one of the next step is computed from them

export class Inside {
  constructor() {
    const at = (id) => document.getElementById(id);
    [this.parent, this.last, this.lead, this.saliency] = ["story", "step-answer", "inside-lead", "saliency"].map(at);
    this.image = new ImageStep(this);
    this.answer = new AnswerStep();
    this.steps = [];
    this.network = this.values = null;
    onLook(() => this.redraw());
  }

  /** Build the steps from the answer of /v1/filters. */
  build(filters) {
    for (const { item } of this.steps) item.remove();
    this.network = new Network(filters);
    this.steps = this.network.layers.map((layer, index) => new LayerStep(layer, index, this));
    for (const step of this.steps) step.redraw();
    this.last.before(...this.steps.map(({ item }) => item));
    this.image.build(this.network);
  }

  /** The pixels and the strokes that are shown where there is no digit. */
  get example() {
    return (this.made ??= example());
  }

  showExample(explained) {
    const { pixels, source, box } = this.example;
    this.show(pixels, explained, { source, box, isDrawn: true });
    this.lead.textContent = `An example: how the network reads this ${EXAMPLE}, step by step. Write a digit to see your own.`;
  }

  /**
   * Show what happens inside for an image: `explained` is the answer of /v1/explain, `strokes` {source, box, isDrawn},
   * where its strokes are.
   */
  show(pixels, explained, { source, box, isDrawn }) {
    if (this.network === null) return;
    this.values = new Values(this.network, pixels, explained);
    this.image.show(this.values);
    for (const step of this.steps) step.show(this.values);
    this.chooseAll(explained.saliency !== null);
    this.answer.show(this.values);
    showStrokes(this.saliency, source, box, pixels, explained.saliency && bytesOf(explained.saliency));
    this.saliency.classList.toggle("drawn", isDrawn);
  }

  /** Choose a map in each step: what the user chose; else, from the last step back, what matters most. */
  chooseAll(isResting) {
    let wanted = null;
    for (const step of [...this.steps].reverse()) {
      const before = step.isPicked || (!isResting && this.isResponding(step)) ? step.map : wanted;
      step.choose(before ?? this.values.responding(step.index, null)[0]?.map ?? 0);
      const { from = null } = this.values.inputs[step.index] ?? {};
      wanted = from === step.index - 1 ? (step.contributions?.[0].input ?? null) : null;
    }
    this.frame();
  }

  isResponding(step) {
    return this.values.peak(step.index, step.map).value > 0;
  }

  /** Choose a map; `isLink` if the user came from another step. */
  choose(index, map, isLink = false) {
    const step = this.steps[index];
    step.isPicked = true;
    step.stopSliding();
    step.choose(map);
    this.frame();
    this.lookAt(index, step.layer.part(Math.floor(step.place / step.maps.width), step.place % step.maps.width));
    if (!isLink) return;
    step.canvas.focus({ preventScroll: true });
    step.item.scrollIntoView({ block: "nearest" });
  }

  /** Outline the part of the image that a value depends on. */
  lookAt(index, part) {
    this.image.outline(part, this.network.layers[index].title);
  }

  /** Choose a pixel of the image, or null: frame the maps that respond there. */
  ask(pixel) {
    this.pixel = pixel;
    this.frame();
  }

  frame() {
    this.image.showResponding(this.values, this.pixel ?? null);
    this.steps.forEach((step, index) => {
      if (this.pixel) return step.frame(this.image.responding[index].map(({ map }) => map), "responds");
      const next = this.steps[index + 1];
      const isFed = next && this.values.inputs[index + 1]?.from === index;
      step.frame(isFed ? next.contributions.slice(0, MAX_FRAMED).map(({ input }) => input) : [], "feeds");
    });
  }

  redraw() {
    for (const step of this.steps) step.redraw();
    if (!this.values) return;
    this.image.redraw();
    this.answer.redraw();
    this.frame();
  }
}
