"use strict";
for (const card of document.querySelectorAll(".confusion")) {
  const strips = JSON.parse(card.querySelector(".strips").textContent);
  const panel = card.querySelector(".panel");
  let pressed = null;

  const show = (button, strip) => {
    if (pressed) pressed.setAttribute("aria-pressed", "false");
    pressed = button;
    button.setAttribute("aria-pressed", "true");
    const words = document.createElement("p");
    const shown = strip.rows.length;
    const some = shown < strip.count ? `, the ${shown} most confident shown` : "";
    const rows = strip.rows.slice(0, 8).join(", ") + (shown > 8 ? ", …" : "");
    const [images, row] = strip.count === 1 ? ["image", "row"] : ["images", "rows"];
    words.textContent = `${strip.title}: ${strip.count} ${images}${some}, ${row} ${rows}`;
    const image = new Image();
    image.src = strip.source;
    image.alt = `Images: ${strip.title}`;
    image.style.width = `${strip.width * 1.75}px`;
    panel.replaceChildren(words, image);
  };

  for (const cell of card.querySelectorAll("[data-cell]")) {
    const strip = strips[cell.dataset.cell];
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = cell.textContent;
    button.setAttribute("aria-label", `${strip.title}: ${strip.count}`);
    button.setAttribute("aria-pressed", "false");
    for (const event of ["pointerenter", "focus", "click"]) {
      button.addEventListener(event, () => show(button, strip));
    }
    cell.replaceChildren(button);
  }

  panel.hidden = false;
  const cells = [...card.querySelectorAll("[data-cell]")];
  const wrong = cells.filter((cell) => cell.classList.contains("wrong"));
  const count = (cell) => strips[cell.dataset.cell].count;
  const [most] = (wrong.length ? wrong : cells).sort((one, other) => count(other) - count(one));
  show(most.firstElementChild, strips[most.dataset.cell]);
}
