// The opened picture: its pages, and what the user cropped or turned of it.

import { Cropper } from "./crop.js";
import { notify } from "./notice.js";
import { display, turned } from "./picture.js";

const at = (id) => document.getElementById(id);

export class Pictures {
  /**
   * `state` is the page's; `hooks.isShown()` tells whether the browser shows the picture, `hooks.leaves()` is called
   * before another picture or the drawing is shown, `hooks.changed()` afterwards.
   */
  constructor(state, picture, hooks) {
    Object.assign(this, { state, picture, hooks });
    this.cropper = new Cropper(picture, (part) => this.cropped(part));
    for (const id of ["turn", "help-turn"]) at(id).addEventListener("click", () => this.turn());
    for (const id of ["crop-open", "help-crop"]) at(id).addEventListener("click", () => this.crop());
    at("crop-take").addEventListener("click", () => this.cropper.take());
    at("crop-cancel").addEventListener("click", () => this.cropper.giveUp());
    at("whole").addEventListener("click", () => this.open(this.state.original));
  }

  /** Open a picture; `original` is the whole one, where `file` is a part of it or turned. */
  async open(file, page = 1, { original = file, isTurned = false } = {}) {
    const { state } = this;
    this.hooks.leaves();
    this.cropper.close();
    const work = ++state.work;
    await display(this.picture, file);
    if (work !== state.work) return;
    const pages = file === state.opened ? state.pages : 1;
    Object.assign(state, { opened: file, original, isTurned, page, pages, picked: null });
    this.show();
    this.hooks.changed();
  }

  turnPage(step) {
    return this.open(this.state.opened, this.state.page + step);
  }

  /** Go back to the drawing. */
  close() {
    this.hooks.leaves();
    this.drop();
  }

  /** Likewise, and leave what the user is told about the picture. */
  drop() {
    const { state } = this;
    this.cropper.close();
    state.work++;
    Object.assign(state, { opened: null, original: null, picked: null, isTurned: false, page: 1, pages: 1 });
    this.show();
    this.hooks.changed();
  }

  /** Show the picture or the paper, and the tools for it. */
  show() {
    const { opened, original, page } = this.state;
    const isOpen = opened !== null;
    const isCropping = this.cropper.isOpen;
    const canChange = isOpen && !isCropping && this.hooks.isShown();
    at("stage").classList.toggle("open", isOpen);
    this.picture.classList.toggle("unshown", page > 1);
    this.picture.hidden = !isOpen;
    at("overlay").hidden = isCropping;
    const hidden = {
      undo: isOpen, clear: isOpen, pens: isOpen,
      turn: !canChange, "crop-open": !canChange, whole: !isOpen || isCropping || opened === original,
      "crop-take": !isCropping, "crop-cancel": !isCropping,
      close: !isOpen || isCropping, choose: isCropping, photograph: isCropping,
    };
    for (const [id, isHidden] of Object.entries(hidden)) at(id).hidden = isHidden;
  }

  crop() {
    this.cropper.open();
    this.show();
  }

  async cropped(part) {
    if (part !== undefined) await this.openChanged(part, this.state.isTurned);
    this.show();
    at("crop-open").focus();
  }

  async turn() {
    await this.openChanged(await turned(this.picture, 90), true);
  }

  /** Open what the user made of the picture; null: the browser could not make it. */
  openChanged(file, isTurned) {
    if (file === null) return notify("The browser cannot change this picture.");
    return this.open(file, 1, { original: this.state.original, isTurned });
  }
}
