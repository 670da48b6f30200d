// The first step of the story: the image, and which maps respond to a part of it.

import { choosable, putFrame, showLevels } from "./maps.js";
import { SIDE } from "./network.js";
import { element } from "./view.js";

const SHOWN = 3; // maps of each layer that respond most

export class ImageStep {
  /** `story` has `ask(pixel)` and `choose(index, map, isLink)`. */
  constructor(story) {
    this.story = story;
    const at = (id) => document.getElementById(id);
    [this.canvas, this.mark, this.part, this.list, this.words] = ["image", "image-pixel", "image-part", "responding", "responding-words"].map(at);
    this.pinned = this.pixel = null; // index of a pixel, the second one while the mouse passes
    const grid = () => ({ columns: SIDE, rows: SIDE, number: SIDE * SIDE, at: this.pixel });
    choosable(this.canvas, grid, (pixel, isMeant) => this.choose(pixel, isMeant), () => this.choose(this.pinned, false));
    this.canvas.addEventListener("keydown", (event) => {
      if (event.key !== "Escape" || this.pixel === null) return;
      event.stopPropagation();
      this.choose(null, true);
    });
    this.anywhere = at("whole-image");
    this.anywhere.addEventListener("click", () => this.choose(null, true));
    this.canvas.addEventListener("focusout", () => this.choose(this.pinned, false));
  }

  build(network) {
    this.rows = network.layers.map((layer, index) => {
      const [item, name, maps] = [element("li"), element("span", "", layer.title), element("span", "maps-of")];
      const choices = Array.from({ length: SHOWN }, () => {
        const choice = element("button", "thumb");
        choice.type = "button";
        choice.append(element("canvas"), element("span"));
        choice.addEventListener("click", () => this.story.choose(index, choice.map, true));
        maps.append(choice);
        return choice;
      });
      item.append(name, maps);
      return { item, choices };
    });
    this.list.replaceChildren(...this.rows.map(({ item }) => item));
  }

  show(values) {
    this.pixels = values.pixels;
    this.redraw();
    this.outline(null);
  }

  redraw() {
    showLevels(this.canvas, this.pixels, SIDE, SIDE, "image");
  }

  choose(pixel, isMeant) {
    if (!this.story.values) return;
    if (isMeant) this.pinned = pixel;
    if (pixel === this.pixel) return;
    this.pixel = pixel;
    const place = this.place;
    this.canvas.setAttribute("aria-valuenow", (pixel ?? 0) + 1);
    this.canvas.setAttribute("aria-valuetext", place ? `row ${place.y + 1}, column ${place.x + 1}` : "the whole image");
    this.outline(null);
    this.story.ask(place);
  }

  get place() {
    return this.pixel === null ? null : { x: this.pixel % SIDE, y: Math.floor(this.pixel / SIDE) };
  }

  /** Outline the part of the image that a value of a layer depends on; null removes the outline. */
  outline(part, title = "") {
    this.part.hidden = part === null;
    if (part) putFrame(this.part, part, SIDE, SIDE);
    this.part.title = title;
  }

  /** Show the maps that respond most to a pixel, or at all. */
  showResponding(values, pixel) {
    this.mark.hidden = this.anywhere.disabled = pixel === null;
    if (pixel) putFrame(this.mark, { left: pixel.x, top: pixel.y, width: 1, height: 1 }, SIDE, SIDE);
    this.words.textContent = pixel === null
      ? "Point at a part of the image to see which maps respond there. Most responsive anywhere:"
      : `In row ${pixel.y + 1}, column ${pixel.x + 1}, these maps respond most:`;
    this.responding = this.rows.map(({ choices }, index) => {
      const found = values.responding(index, pixel).slice(0, SHOWN);
      const { width, height, levels } = values.maps[index];
      choices.forEach((choice, place) => {
        const each = found[place];
        choice.classList.toggle("none", !each);
        choice.disabled = !each;
        choice.map = each?.map;
        choice.lastElementChild.textContent = each ? `Map ${each.map + 1}` : "none";
        const own = each ? levels.subarray(each.map * width * height, (each.map + 1) * width * height) : new Uint8Array(width * height);
        showLevels(choice.firstElementChild, own, width, height, "map");
      });
      return found;
    });
  }
}
