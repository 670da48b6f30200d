"""Write the page of the service as static files that read in the browser, without a service.

The page is the same: `static/backend.js`, which passes its requests to the service, is replaced by one line
that passes them to `static/local`, the reader in JavaScript. Comments in `index.html` mark what only a page
with, or without, a service shows.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from digit_recognizer import __version__
from digit_recognizer.digits import SIDE
from digit_recognizer.errors import DigitsError
from digit_recognizer.explain.activations import Activations, open_activations
from digit_recognizer.files import PARTIAL_SUFFIX, check_can_create
from digit_recognizer.imaging.decode import MAX_BYTES
from digit_recognizer.imaging.limits import MAX_PIXELS
from digit_recognizer.reading import load_calibration
from digit_recognizer.recognition import Recognizer
from digit_recognizer.recognition.character_finder import READER_MODEL
from digit_recognizer.recognition.page_reader import IMAGE_WEIGHT
from digit_recognizer.recognition.recognizer import CALIBRATION, OUTPUTS
from digit_recognizer.recognition.second_stage import REGIONS_MODEL
from digit_recognizer.service.export.runtime import runtime_files
from digit_recognizer.service.model import MODEL_NAME, describe_filters
from digit_recognizer.service.schemas import JsonObject

STATIC = Path(__file__).parents[1] / "static"
NOT_ON_THE_PAGE = ("docs.*",)  # the documentation of the HTTP interface
LOCAL_BACKEND = (
    "// Who answers the page's requests: the reader in the browser itself.\n\n"
    'export { asBody, ask, onTokenWanted } from "./local/backend.js";\n'
)
WITH_SERVICE = re.compile(r"<!-- with a service -->.*?<!-- end -->", re.DOTALL)
WITHOUT_SERVICE = re.compile(r"<!-- without a service\s(.*?)\s*-->", re.DOTALL)
# Of the formats that the page offers:
ONLY_THE_SERVICE_OPENS = ",application/pdf,.pdf,.heic,.heif,.avif,.tif,.tiff,.jp2,.pbm,.pgm,.ppm"


def export_page(out: Path, model: Path | None = None, runtime: Path | None = None) -> int:
    """Write the page; return the size of its files in bytes.

    Parameters
    ----------
    out
        The folder to write, which must not exist or be empty.
    model
        A run folder or a ``model.onnx`` of single digits. Default: the bundled model.
    runtime
        The npm package of ONNX Runtime Web, a file. Default: npm downloads it on first use, and it is kept.

    Raises
    ------
    DigitsError
        The folder is not empty or cannot be written, the model is missing, damaged or of numbers, or ONNX
        Runtime Web cannot be had.
    """
    _check_free(out)
    recognizer = Recognizer(model)
    blank = recognizer.predict(np.zeros((1, SIDE, SIDE), np.uint8))  # raises for a model of numbers
    activations = open_activations(recognizer.path)
    facts = _facts(recognizer, activations, is_shipped=model is None, has_is_digit=blank.is_digit is not None)
    libraries = runtime_files(runtime)
    with _folder_to_fill(out) as folder:
        _write(folder, facts, activations.serialised, libraries)
        return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def _check_free(out: Path) -> None:
    try:
        if out.exists() and (not out.is_dir() or any(out.iterdir())):
            raise DigitsError(f"{out} already exists: choose another folder, or delete it first")
    except OSError as error:
        raise DigitsError(f"cannot write {out}: {error.strerror or error}") from error
    check_can_create(out)


def _facts(
    recognizer: Recognizer, activations: Activations, *, is_shipped: bool, has_is_digit: bool
) -> JsonObject:
    """Return what the page knows of the models: what the service answers, and how to run them."""
    calibration = load_calibration(recognizer.path.with_name(CALIBRATION))
    card = {
        "name": MODEL_NAME,
        "version": __version__,
        "source": "shipped" if is_shipped else "run",
        "knows_no_digit": has_is_digit,
        "corrections": False,
        "limits": {"body_bytes": MAX_BYTES, "pixels": MAX_PIXELS, "images": 1},
    }
    return {
        "model": card,
        "filters": describe_filters(activations),
        "outputs": OUTPUTS if has_is_digit else OUTPUTS[:1],
        "layers": [
            {"name": layer.name, "output": layer.output, "source": activations.sources.get(layer.name)}
            for layer in activations.convolutions
        ],
        "hidden": activations.hidden,
        "imageWeight": IMAGE_WEIGHT if is_shipped else 1.0,
        "calibration": {"scale": calibration.scale, "shift": calibration.shift},
    }


@contextmanager
def _folder_to_fill(out: Path) -> Iterator[Path]:
    """Yield a folder whose contents are in `out` after the block, or nowhere if it raises."""
    name = f".{out.resolve().name}.{os.getpid()}{PARTIAL_SUFFIX}"
    partial = out / name if out.exists() else out.absolute().with_name(name)  # an empty folder stays the same
    try:
        try:
            partial.mkdir(parents=True)
            yield partial
            if out.exists():
                for each in partial.iterdir():
                    each.rename(out / each.name)
                partial.rmdir()
            else:
                partial.rename(out)
        except BaseException:
            shutil.rmtree(partial, ignore_errors=True)
            raise
    except OSError as error:
        raise DigitsError(f"cannot write {out}: {error.strerror or error}") from error


def _write(folder: Path, facts: JsonObject, digits: bytes, libraries: dict[str, bytes]) -> None:
    """Write all files of the page into a folder."""
    static, local = folder / "static", folder / "static" / "local"
    shutil.copytree(STATIC, static, ignore=shutil.ignore_patterns(*NOT_ON_THE_PAGE, "index.html"))
    (static / "backend.js").write_text(LOCAL_BACKEND, "utf-8")
    models, runtime = local / "models", local / "onnxruntime"
    models.mkdir()
    runtime.mkdir()
    (models / "facts.json").write_text(json.dumps(facts), "utf-8")
    (models / "digits.onnx").write_bytes(digits)
    for model in (READER_MODEL, REGIONS_MODEL):
        shutil.copyfile(model, models / model.name)
    for name, content in libraries.items():
        (runtime / name).write_bytes(content)
    (folder / "index.html").write_text(without_service((STATIC / "index.html").read_text("utf-8")), "utf-8")


def without_service(html: str) -> str:
    """Return the page's HTML without what needs a service, and with what a page without one shows."""
    assert ONLY_THE_SERVICE_OPENS in html, "the page offers a format that only the service opens"
    html = html.replace(ONLY_THE_SERVICE_OPENS, "")
    return WITHOUT_SERVICE.sub(r"\1", WITH_SERVICE.sub("", html))
