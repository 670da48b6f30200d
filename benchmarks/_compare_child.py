"""Read pictures with one program, in an environment that has only this program.

`compare.py` starts this file once for each program. Each line of standard input is a JSON object with the
`path` of a picture and the `mode`; each answer is a line with the `text` that was read and the `seconds` that
it took, the file's decoding included. The first answer is sent when the program has loaded its models.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

DIGITS = "0123456789"
KERAS_EPOCHS, KERAS_BATCH = 15, 128  # https://keras.io/examples/vision/mnist_convnet/
SIDE, DIGIT_SIDE, INK = 28, 20, 255  # of MNIST's images, of the digit in them, and its brightest pixel

Read = Callable[[str, str], str]  # path and mode: "page" (told nothing), "line" or "digit"


def digit_recognizer() -> Read:
    """`Recognizer.read`, and `read_single` if the picture is known to show one digit."""
    from digit_recognizer import Recognizer

    recognizer = Recognizer()

    def read(path: str, mode: str) -> str:
        if mode != "digit":
            return recognizer.read(path).text
        digit = recognizer.read_single(path).digit
        return "" if digit is None else str(digit)

    return read


def tesseract() -> Read:
    """Run the program with its whitelist of digits, a process for each picture.

    --psm 6 and 13 read most of the compared pictures, of all modes that the documentation lists for them.
    """

    def read(path: str, mode: str) -> str:
        segmentation = "6" if mode == "page" else "13"
        options = ["--psm", segmentation, "-c", f"tessedit_char_whitelist={DIGITS}"]
        command = ["tesseract", path, "stdout", *options]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout

    return read


def easyocr() -> Read:
    """`readtext` with its list of allowed characters, and `recognize` if the picture is one line."""
    make_torchvision_importable()
    import numpy as np
    from easyocr import Reader
    from easyocr_en_models import model_dir
    from PIL import Image

    reader = Reader(["en"], gpu=False, model_storage_directory=model_dir(), download_enabled=False)

    def read(path: str, mode: str) -> str:
        with Image.open(path) as picture:  # its own way of opening files does not read those of one bit
            page = np.asarray(picture.convert("RGB"))[..., ::-1]
        reads = reader.readtext if mode == "page" else reader.recognize
        return "\n".join(reads(page, allowlist=DIGITS, detail=0))

    return read


def make_torchvision_importable() -> None:
    """Declare operators of torchvision's extension, which does not load beside torch for processors only.

    EasyOCR takes only the layers of VGG and the scaling of pictures from torchvision, in Python.
    """
    import torch

    try:
        import torchvision  # noqa: F401
    except RuntimeError:
        for name in [each for each in sys.modules if each.partition(".")[0] == "torchvision"]:
            del sys.modules[name]
        signature = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
        for name in ("nms", "qnms"):
            torch.library.define(f"torchvision::{name}", signature)


def paddleocr() -> Read:
    """RapidOCR, which runs PaddleOCR's models in ONNX Runtime; without detection if the picture is one line.

    It has no list of allowed characters; of what it reads, only the digits are compared.
    """
    from rapidocr import RapidOCR

    engine = RapidOCR(params={"Global.log_level": "error"})

    def read(path: str, mode: str) -> str:
        whole = mode == "page"  # said in each call: an engine keeps what the last call said
        found = engine(path, use_det=whole, use_cls=whole, use_rec=True)
        return "\n".join(found.txts or ())

    return read


def keras(archive: str) -> Read:
    """Keras's example for MNIST, trained on the competition's images.

    Told nothing, the picture is resized to 28 × 28. Told that it shows a digit, its ink is cut out and
    centred as in MNIST, as demos for drawing do.
    """
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    import numpy as np

    model = trained_example(archive)

    def read(path: str, mode: str) -> str:
        image = resized(path) if mode == "page" else centred(path)
        return str(int(np.argmax(model(image[None, ..., None].astype("float32") / INK))))

    return read


def trained_example(archive: str) -> Any:
    """Return the network of the example, trained as there."""
    import keras
    import numpy as np
    from keras import layers

    keras.utils.set_random_seed(0)
    with np.load(archive) as digits:
        images = digits["images"][..., None].astype("float32") / INK
        targets = keras.utils.to_categorical(digits["labels"], len(DIGITS))
    model = keras.Sequential(
        [
            keras.Input((SIDE, SIDE, 1)),
            layers.Conv2D(32, kernel_size=(3, 3), activation="relu"),
            layers.MaxPooling2D(pool_size=(2, 2)),
            layers.Conv2D(64, kernel_size=(3, 3), activation="relu"),
            layers.MaxPooling2D(pool_size=(2, 2)),
            layers.Flatten(),
            layers.Dropout(0.5),
            layers.Dense(len(DIGITS), activation="softmax"),
        ]
    )
    model.compile(loss="categorical_crossentropy", optimizer="adam", metrics=["accuracy"])
    model.fit(images, targets, batch_size=KERAS_BATCH, epochs=KERAS_EPOCHS, validation_split=0.1, verbose=0)
    return model


def light_on_dark(path: str) -> Any:
    """Return a picture in grey, uint8 (rows, columns), inverted if it is bright for the most part."""
    import numpy as np
    from PIL import Image, ImageOps

    with Image.open(path) as picture:
        grey = np.asarray(ImageOps.exif_transpose(picture).convert("L"))
    return INK - grey if np.median(grey) > INK / 2 else grey


def resized(path: str) -> Any:
    from PIL import Image

    return _scaled(Image.fromarray(light_on_dark(path)), (SIDE, SIDE))


def centred(path: str) -> Any:
    """Return the ink above Otsu's threshold, scaled to 20 × 20 and centred by its mass in 28 × 28."""
    import numpy as np
    from PIL import Image

    grey = light_on_dark(path)
    ink = np.where(grey > otsu(grey), grey, 0).astype(np.uint8)
    rows, columns = (np.flatnonzero(ink.any(axis)) for axis in (1, 0))
    if not len(rows):
        return np.zeros((SIDE, SIDE), np.uint8)
    cut = ink[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    scale = DIGIT_SIDE / max(cut.shape)
    height, width = (max(1, round(side * scale)) for side in cut.shape)
    digit = _scaled(Image.fromarray(cut), (width, height))
    weights = digit.astype(float) + 1e-9
    middle = [np.average(np.arange(len(line)), weights=line) for line in (weights.sum(1), weights.sum(0))]
    top, left = (
        min(max(round(SIDE / 2 - place - 0.5), 0), SIDE - side)
        for place, side in zip(middle, digit.shape, strict=True)
    )
    image = np.zeros((SIDE, SIDE), np.uint8)
    image[top : top + height, left : left + width] = digit
    return image


def otsu(grey: Any) -> int:
    """Return the grey value that separates dark from light with the largest variance between both."""
    import numpy as np

    counts = np.bincount(grey.ravel(), minlength=INK + 1).astype(float)
    below, sums = counts.cumsum(), (counts * np.arange(INK + 1)).cumsum()
    above = below[-1] - below
    with np.errstate(divide="ignore", invalid="ignore"):
        variance = below * above * (sums / below - (sums[-1] - sums) / above) ** 2
    return int(np.nanargmax(variance))


def _scaled(picture: Any, size: tuple[int, int]) -> Any:
    import numpy as np
    from PIL import Image

    return np.asarray(
        picture.resize(size, Image.Resampling.BOX if size < picture.size else Image.Resampling.BILINEAR)
    )


def main(program: str, *arguments: str) -> None:
    """Load a program, say so, and answer one line after the other."""
    answers, sys.stdout = sys.stdout, sys.stderr  # what libraries print is no answer
    read = {each.__name__: each for each in (digit_recognizer, tesseract, easyocr, paddleocr, keras)}[
        program
    ](*arguments)
    print(json.dumps({"ready": True}), file=answers, flush=True)
    for line in sys.stdin:
        task = json.loads(line)
        assert Path(task["path"]).is_file(), task
        started = time.perf_counter()
        text = read(task["path"], task["mode"])
        seconds = time.perf_counter() - started
        print(json.dumps({"text": text, "seconds": seconds}), file=answers, flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
