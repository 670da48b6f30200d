"""The one way in which this package infers: ``model.onnx`` under ONNX Runtime."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from digit_recognizer.digits import CLASSES, SIDE, Predictions, check_images
from digit_recognizer.errors import DigitsError, first_line
from digit_recognizer.reading import Reading, SingleDigit
from digit_recognizer.recognition.line_reader import LineReader
from digit_recognizer.recognition.session import run_in_batches, start_session
from digit_recognizer.runs import run_folder

if TYPE_CHECKING:
    from digit_recognizer.imaging import Picture

SHIPPED = Path(__file__).with_name("models") / "digits.onnx"
OUTPUTS = ("probabilities", "is_digit")  # that a model has: the first, or both
THRESHOLD = 0.5  # confidence from which a single digit is given


class Recognizer:
    """A trained model, ready to predict.

    Parameters
    ----------
    model
        A run folder, or the path of a ``model.onnx``; the model that comes with the package if None.
    threads
        That compute at the same time, where there are many images; as many as there are processors to use
        if None.

    Raises
    ------
    DigitsError
        There is no such folder or file, the run is not finished, the model is damaged, not one of this
        package's, or written by a newer version.
    """

    def __init__(self, model: str | Path | None = None, *, threads: int | None = None) -> None:
        self.path = SHIPPED if model is None else _find_model(Path(model))
        self._session = _open_session(self.path)
        has = {each.name for each in self._session.get_outputs()}
        self._outputs = [name for name in OUTPUTS if name in has]
        self._threads = threads

    @cached_property
    def _line_reader(self) -> LineReader:
        return LineReader()

    @property
    def trained_on(self) -> str | None:
        """The checksum of the digits of the model's training; None where the file does not say."""
        found: str | None = self._session.get_modelmeta().custom_metadata_map.get("trained_on")
        return found

    @property
    def held_out(self) -> int:
        """How many of those digits it was not trained on."""
        return int(self._session.get_modelmeta().custom_metadata_map.get("held_out", 0))

    def read(self, picture: Picture, *, page: int = 1) -> Reading:
        """Read all numbers in a picture.

        Parameters
        ----------
        picture
            A path, bytes, a file object, a Pillow image or an array; see `imaging.decode`. Of any size, dark
            on light or light on dark.
        page
            Which page of a PDF, from 1; `imaging.count_pages` tells how many there are.

        Raises
        ------
        DigitsError
            It is no picture, damaged, or larger than 25 megapixels; or it has no such page.
        """
        from digit_recognizer.imaging import decode
        from digit_recognizer.recognition.page_reader import read_page

        return read_page(decode(picture, page=page), self.predict, self._line_reader.find_digits)

    def read_single(self, picture: Picture, threshold: float = THRESHOLD, *, page: int = 1) -> SingleDigit:
        """Read a picture of exactly one digit.

        Parameters
        ----------
        picture, page
            As for `read`.
        threshold
            The confidence, 0 to 1, that a digit needs to be given.

        Raises
        ------
        DigitsError
            As for `read`; or the threshold is not from 0 to 1.
        """
        from digit_recognizer.imaging import decode, single_image

        if not 0 <= threshold <= 1:
            raise DigitsError(f"expected a threshold from 0 to 1, got {threshold}")
        image = single_image(decode(picture, page=page))
        predictions = self.predict(image[None])
        row = predictions.probabilities[0]
        is_digit = 1.0 if predictions.is_digit is None else float(predictions.is_digit[0])
        confidence = is_digit * float(row.max()) if image.any() else 0.0  # no ink, no digit
        digit = int(row.argmax()) if confidence >= threshold else None
        return SingleDigit(digit, confidence, tuple(map(float, row)))

    def predict(self, images: NDArray[np.uint8]) -> Predictions:
        """Return what the model makes of images of single digits.

        Parameters
        ----------
        images
            uint8, shape (N, 28, 28), 0 background to 255 ink; N may be 0.

        Raises
        ------
        DigitsError
            The array has another dtype or shape.
        """
        check_images(images)
        batches = run_in_batches(self._session, self._outputs, images, self._threads)
        return Predictions(*map(np.concatenate, zip(*batches, strict=True)))


def _find_model(path: Path) -> Path:
    if path.is_file():
        return path
    if path.suffix == ".onnx" and not path.exists():
        raise DigitsError(f"there is no model {path}")
    run_folder.read_environment(path)
    run_folder.check_finished(path)
    model = path / run_folder.MODEL
    if not model.exists():
        raise DigitsError(f"{path} is damaged: its {run_folder.MODEL} is missing")
    return model


def _open_session(path: Path) -> onnxruntime.InferenceSession:
    try:
        session = start_session(path)
    except Exception as error:  # ONNX Runtime's exceptions share no base but this
        raise DigitsError(f"{path} is damaged or no ONNX model: {first_line(error)}") from error
    _check_metadata(session, path)
    _check_signature(session, path)
    return session


def _check_metadata(session: onnxruntime.InferenceSession, path: Path) -> None:
    """Raise unless the model says that this package wrote it, in a version no newer than this one."""
    metadata = session.get_modelmeta().custom_metadata_map
    if "format" not in metadata:
        raise DigitsError(f"{path} is no model of digit-recognizer: its metadata name no format")
    run_folder.check_format(metadata["format"], path)
    held_out = metadata.get("held_out", "0")
    if not held_out.isdecimal():
        raise DigitsError(f"{path} is damaged: it held out {held_out!r} images; expected a number")


def _check_signature(session: onnxruntime.InferenceSession, path: Path) -> None:
    """Raise unless the model takes uint8 images and gives ten probabilities, under those names."""
    inputs = [(value.name, value.type, value.shape[1:]) for value in session.get_inputs()]
    outputs = [(value.name, value.type, value.shape[1:]) for value in session.get_outputs()]
    if inputs != [("images", "tensor(uint8)", [SIDE, SIDE])] or outputs[:1] != [
        ("probabilities", "tensor(float)", [CLASSES])
    ]:
        raise DigitsError(
            f"{path} is no model of digit-recognizer: expected uint8 'images' (N, {SIDE}, {SIDE}) and float "
            f"'probabilities' (N, {CLASSES}), found {inputs} and {outputs}"
        )
