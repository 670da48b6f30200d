// Every product that an input contributes in one place: its values there, times the weights of the kernel.

import { element } from "./view.js";

const KINDS = ["values", "weights", "products"];

export class Products {
  /** `figure` writes a number. */
  constructor({ height, width }, figure) {
    Object.assign(this, { height, width, figure, shown: null });
    this.item = element("details", "products");
    this.summary = element("summary");
    this.tables = Object.fromEntries(KINDS.map((kind) => [kind, this.table()]));
    this.total = element("p", "soft");
    const row = element("div", "arithmetic");
    const [times, equal] = ["×", "="].map((sign) => element("i", "sign", sign));
    row.append(this.tables.values.figure, times, this.tables.weights.figure, equal, this.tables.products.figure);
    this.item.append(this.summary, row, this.total);
    this.item.addEventListener("toggle", () => this.redraw());
  }

  table() {
    const [frame, caption, table] = [element("figure"), element("figcaption", "soft"), element("table")];
    const cells = [];
    for (let down = 0; down < this.height; down++) {
      const row = element("tr");
      for (let right = 0; right < this.width; right++) cells.push(element("td"));
      row.append(...cells.slice(-this.width));
      table.append(row);
    }
    frame.append(caption, table);
    return { figure: frame, caption, cells };
  }

  /** Show what an input contributes: its `name`, the `values` below the kernel and the kernel's `weights`. */
  show(name, values, weights) {
    this.shown = { name, values, weights };
    this.summary.textContent = `Every product of ${name === "Image" ? "the image" : name.toLowerCase()} in this place`;
    this.redraw();
  }

  redraw() {
    if (this.shown === null || !this.item.open) return;
    const { name, values, weights } = this.shown;
    const products = weights.map((weight, place) => weight * values[place]);
    this.fill("values", name, values);
    this.fill("weights", "Weights", weights);
    this.fill("products", "Products", products);
    this.total.textContent = `The ${products.length} products add up to ${this.figure(products.reduce((sum, value) => sum + value, 0))}.`;
  }

  fill(kind, caption, values) {
    this.tables[kind].caption.textContent = caption;
    this.tables[kind].cells.forEach((cell, place) => {
      cell.textContent = this.figure(values[place]);
      cell.className = kind === "values" || !/[1-9]/.test(cell.textContent) ? "" : values[place] > 0 ? "raises" : "lowers";
    });
  }
}
