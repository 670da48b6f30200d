// Pictures that are dropped, pasted, chosen or photographed.

const MAX_SIDE_PX = 2400; // longer side of a picture that had to be reduced
const MIN_SIDE_PX = 300; // likewise; nothing smaller can be read
const CROP_MARGIN = 0.25; // of a number's height, around the part of a picture that is kept
const MAX_CROP_PIXELS = 1_000_000; // of this part; the service takes no more
const JPEG_QUALITY = 0.9; // of a reduced picture

/** Call `open(file)` for each picture that the user chooses, pastes or drops. */
export function onPicture(inputs, stage, open) {
  for (const input of inputs) {
    input.addEventListener("change", () => {
      const [file] = input.files;
      if (file) open(file);
      input.value = "";
    });
  }
  document.addEventListener("paste", (event) => {
    const [file] = event.clipboardData?.files ?? [];
    if (!file) return;
    event.preventDefault();
    open(file);
  });
  const bringsFile = (event) => [...(event.dataTransfer?.types ?? [])].includes("Files");
  document.addEventListener("dragover", (event) => {
    if (!bringsFile(event)) return;
    event.preventDefault();
    stage.classList.add("receiving");
  });
  document.addEventListener("dragleave", (event) => {
    if (event.relatedTarget === null) stage.classList.remove("receiving");
  });
  document.addEventListener("drop", (event) => {
    stage.classList.remove("receiving");
    const [file] = event.dataTransfer?.files ?? [];
    if (!file) return;
    event.preventDefault();
    open(file);
  });
}

/** Return the picture as it is, or reduced if it exceeds the service's limits. */
export async function fitting(file, image, limits) {
  const isLoaded = image.naturalWidth > 0;
  const pixels = image.naturalWidth * image.naturalHeight;
  if (!isLoaded || (file.size <= limits.body_bytes && pixels <= limits.pixels)) return file;
  const longest = Math.max(image.naturalWidth, image.naturalHeight);
  let smaller = null;
  for (let side = Math.min(longest, MAX_SIDE_PX); side >= MIN_SIDE_PX; side *= 0.7) {
    smaller = await redrawn(image, side / longest);
    if (smaller === null || smaller.size <= limits.body_bytes) break;
  }
  return smaller ?? file;
}

/** Return a picture scaled by `scale` as JPEG, on a white background. */
function redrawn(image, scale) {
  const canvas = document.createElement("canvas");
  canvas.width = Math.round(image.naturalWidth * scale);
  canvas.height = Math.round(image.naturalHeight * scale);
  const context = canvas.getContext("2d");
  context.fillStyle = "#fff";
  context.fillRect(0, 0, canvas.width, canvas.height);
  context.drawImage(image, 0, 0, canvas.width, canvas.height);
  return new Promise((resolve) => canvas.toBlob(resolve, "image/jpeg", JPEG_QUALITY));
}

/** Return a picture turned clockwise by 90, 180 or 270 degrees, as PNG. */
export function turned(image, degrees) {
  const { naturalWidth: width, naturalHeight: height } = image;
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = degrees === 180 ? [width, height] : [height, width];
  const context = canvas.getContext("2d");
  context.translate(canvas.width / 2, canvas.height / 2);
  context.rotate((degrees * Math.PI) / 180);
  context.drawImage(image, -width / 2, -height / 2);
  return new Promise((resolve) => canvas.toBlob(resolve, "image/png"));
}

/** Return a part of a picture, in its pixels, as PNG. */
export function cut(image, { x, y, width, height }) {
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [Math.max(1, Math.round(width)), Math.max(1, Math.round(height))];
  canvas.getContext("2d").drawImage(image, x, y, width, height, 0, 0, canvas.width, canvas.height);
  return new Promise((resolve) => canvas.toBlob(resolve, "image/png"));
}

/** Return a part of a picture or canvas with a margin, as PNG in base64, reduced if it is large. */
export function cropped(source, box) {
  const margin = CROP_MARGIN * box.height;
  const [left, top] = [Math.max(0, box.x - margin), Math.max(0, box.y - margin)];
  const right = Math.min(source.naturalWidth ?? source.width, box.x + box.width + margin);
  const bottom = Math.min(source.naturalHeight ?? source.height, box.y + box.height + margin);
  const scale = Math.min(1, Math.sqrt(MAX_CROP_PIXELS / ((right - left) * (bottom - top))));
  const canvas = document.createElement("canvas");
  canvas.width = Math.max(1, Math.floor((right - left) * scale));
  canvas.height = Math.max(1, Math.floor((bottom - top) * scale));
  const context = canvas.getContext("2d");
  context.fillStyle = "#fff";
  context.fillRect(0, 0, canvas.width, canvas.height);
  context.drawImage(source, left, top, right - left, bottom - top, 0, 0, canvas.width, canvas.height);
  const address = canvas.toDataURL("image/png");
  return address.slice(address.indexOf(",") + 1);
}

/** Show a file in an `img`; wait until it is decoded or turns out not to be a picture. */
export async function display(image, file) {
  if (image.src) URL.revokeObjectURL(image.src);
  image.src = URL.createObjectURL(file);
  await image.decode().catch(() => null);
}

/** Return the place of a picture in its element, for `object-fit: contain`, in CSS pixels. */
export function placeOf(image, width, height) {
  const { clientWidth, clientHeight } = image;
  const scale = Math.min(clientWidth / width, clientHeight / height);
  return { left: (clientWidth - width * scale) / 2, top: (clientHeight - height * scale) / 2, width: width * scale, height: height * scale, scale };
}

/** Copy text, also without the clipboard API, which needs HTTPS or localhost; return whether it worked. */
export async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return copyBySelection(text);
  }
}

function copyBySelection(text) {
  const field = document.createElement("textarea");
  const before = document.activeElement;
  field.value = text;
  field.className = "unseen";
  document.body.append(field);
  field.select();
  const isCopied = document.execCommand("copy");
  field.remove();
  before?.focus();
  return isCopied;
}
