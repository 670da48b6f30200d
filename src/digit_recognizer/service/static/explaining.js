// Keeps the section "Inside the network" up to date with the selected digit.

import { ask } from "./backend.js";
import { isDigit, labelOf } from "./reading.js";
import { Latest, bytesOf } from "./service.js";
import { isTemporary, report } from "./notice.js";

const HEADERS = { "Content-Type": "application/octet-stream" };

export class Explaining {
  /** `state` is the page's; `sourceOf(box)` returns where the strokes of a mark are shown, or null. */
  constructor(inside, state, sourceOf) {
    Object.assign(this, { inside, state, sourceOf, isReady: false });
    this.latest = new Latest((wanted) => this.explain(wanted));
  }

  /** Start, once the network's layers are known. */
  start(filters) {
    this.inside.build(filters);
    this.isReady = true;
    this.update();
  }

  /** Explain the selected digit; the example, if there is none. */
  update() {
    if (!this.isReady) return;
    const { chosen, isDrawing } = this.state;
    if (chosen?.image && isDigit(chosen.text)) {
      this.latest.offer({ digit: chosen, hasSaliency: !isDrawing });
    } else if (chosen === null || !this.inside.values) {
      this.latest.offer({ digit: null, hasSaliency: true });
    }
  }

  /** Whether the pen is up and its answer is not there yet: the answer comes first, and then its explanation. */
  get isAwaited() {
    return this.state.penUp !== null;
  }

  async explain({ digit, hasSaliency }) {
    if (this.isAwaited) return;
    const { work } = this.state;
    if (digit === null && this.example) return this.inside.showExample(this.example);
    const body = digit === null ? this.inside.example.pixels : bytesOf(digit.image);
    try {
      const explained = await ask(`/v1/explain?saliency=${hasSaliency}`, { method: "POST", headers: HEADERS, body });
      if (digit === null) this.example = explained;
      if (this.isAwaited || work !== this.state.work || (this.state.chosen === null) !== (digit === null)) return;
      if (digit === null) this.inside.showExample(explained);
      else this.show(digit, body, explained);
    } catch (error) {
      if (!isTemporary(error)) report(error);
    }
  }

  show(digit, pixels, explained) {
    const isDrawn = !this.state.opened;
    this.inside.show(pixels, explained, { ...(this.sourceOf(digit.box) ?? { source: null, box: null }), isDrawn });
    const name = digit.isRejected && labelOf(digit) === null ? "rejected mark" : (labelOf(digit) ?? digit.text);
    this.inside.lead.textContent = `How the network reads the ${name}, step by step.`;
    performance.clearMarks("maps");
    performance.mark("maps");
  }
}
