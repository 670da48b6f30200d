"""`Recognizer`: all inference of this package, with ``model.onnx`` in ONNX Runtime."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from math import ceil
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from digit_recognizer.digits import CLASSES, SIDE, Predictions, check_images
from digit_recognizer.errors import DigitsError, did_you_mean_path
from digit_recognizer.formatting import bytes_in_words
from digit_recognizer.notebook import facts
from digit_recognizer.progress import counted, following
from digit_recognizer.reading import (
    MIN_READ_CONFIDENCE,
    Calibration,
    Reading,
    ReadingOptions,
    SingleDigit,
    interpret,
    load_calibration,
)
from digit_recognizer.recognition.character_finder import OUTPUTS as READER_OUTPUTS
from digit_recognizer.recognition.character_finder import CharacterFinder
from digit_recognizer.recognition.scale import scale_boxes
from digit_recognizer.recognition.second_stage import SecondStage
from digit_recognizer.recognition.session import BATCH_SIZE, run_in_batches, start_session
from digit_recognizer.runs.environment import read_environment
from digit_recognizer.runs.run_folder import MODEL, check_finished, check_format
from digit_recognizer.runs.split import Rows, unpack_rows
from digit_recognizer.sources import kind_of_file

if TYPE_CHECKING:
    from digit_recognizer.imaging import Picture
    from digit_recognizer.recognition.page_reader import FindCharacters

BUNDLED_MODEL = Path(__file__).with_name("models") / "digits.onnx"
CALIBRATION = "calibration.json"  # beside a model: how the confidences of numbers are calibrated
OUTPUTS = ("probabilities", "is_digit")  # of a model: the first, or both
PAGE = "page"  # the input of a model that reads
THRESHOLD = MIN_READ_CONFIDENCE  # default confidence below which no single digit is returned


class Recognizer:
    """A trained model that recognises digits.

    Parameters
    ----------
    model
        A run folder, or the path of a ``model.onnx``, of single digits or of numbers. Default: the bundled
        models.
    threads
        The number of threads for many images. Default: the number of usable processors.

    Raises
    ------
    DigitsError
        The folder or file does not exist, the run is not finished, or the model is damaged, was not written
        by this package, or was written by a newer version.
    """

    def __init__(self, model: str | Path | None = None, *, threads: int | None = None) -> None:
        self.path = BUNDLED_MODEL if model is None else _find_model(Path(model))
        self._session = _open_session(self.path)
        self._is_reader = bool(self._session.get_inputs()[0].name == PAGE)
        names = {each.name for each in self._session.get_outputs()}
        self._outputs = [name for name in OUTPUTS if name in names]
        self._threads = threads

    @property
    def reads_numbers(self) -> bool:
        """Whether the model was trained on pictures of numbers: it reads, but does not `predict`."""
        return self._is_reader

    @cached_property
    def _find(self) -> FindCharacters:
        if self.reads_numbers:
            return CharacterFinder(self._session, self._threads).find
        finder, second = CharacterFinder(threads=self._threads), SecondStage(threads=self._threads)
        return lambda page: second.judge(page, finder.find(page))

    @cached_property
    def _calibration(self) -> Calibration:
        return load_calibration(self.path.with_name(CALIBRATION))

    @property
    def trained_on(self) -> str | None:
        """The checksum of the digits that the model was trained on; None if the file does not say."""
        checksum: str | None = self._session.get_modelmeta().custom_metadata_map.get("trained_on")
        return checksum

    @property
    def images(self) -> int:
        """The number of these digits; 0 if the file does not say."""
        return int(self._session.get_modelmeta().custom_metadata_map.get("images", 0))

    @property
    def held_out(self) -> int:
        """The number of these digits that were held out of training."""
        return int(self._session.get_modelmeta().custom_metadata_map.get("held_out", 0))

    @property
    def evaluation_rows(self) -> Rows | None:
        """The rows of these digits to evaluate the model on, int64 (M,); None if the file does not say."""
        packed = self._session.get_modelmeta().custom_metadata_map.get("evaluation_rows")
        try:
            return None if packed is None else unpack_rows(packed)
        except ValueError as error:
            raise DigitsError(f"{self.path} is damaged: its evaluation_rows: {error}") from error

    def read(
        self,
        picture: Picture,
        *,
        page: int = 1,
        options: ReadingOptions | None = None,
        is_upright: bool = False,
    ) -> Reading:
        """Read all numbers in a picture.

        Parameters
        ----------
        picture
            A path, bytes, a file object, a Pillow image or an array; see `imaging.decode`. Of any size, dark
            on light or light on dark.
        page
            The page of a PDF or TIFF, from 1; `imaging.count_pages` returns their number.
        options
            What numbers may be, what separates their decimals, and from which confidence they are sure.
        is_upright
            Whether the picture is upright for sure, such as a drawing, so that it is not read turned.

        Raises
        ------
        DigitsError
            The picture is not a picture, damaged, or larger than 150 megapixels, or it has no such page.
        """
        from digit_recognizer.imaging import decode_page

        decoded = decode_page(picture, page=page)
        reading = self.read_page(decoded.grey, options, is_upright=is_upright)
        return scale_boxes(reading, decoded.scale)

    def read_page(
        self,
        page: NDArray[np.uint8],
        options: ReadingOptions | None = None,
        *,
        is_upright: bool = False,
        with_images: bool = False,
    ) -> Reading:
        """Read all numbers on a page that is already decoded, turned if it lies on its side or upside down.

        Parameters
        ----------
        page
            uint8, shape (height, width), as `imaging.decode` returns it: 0 black to 255 white.
        options, is_upright
            As for `read`.
        with_images
            Whether each character gets its `image`.
        """
        from digit_recognizer.recognition.page_reader import IMAGE_WEIGHT, read_page
        from digit_recognizer.recognition.rotation import read_upright

        image_weight = IMAGE_WEIGHT if self.path == BUNDLED_MODEL else 1.0

        def read(page: NDArray[np.uint8]) -> Reading:
            return read_page(
                page,
                self._find,
                None if self.reads_numbers else self.predict,
                self._calibration,
                image_weight=image_weight,
                with_images=with_images,
            )

        reading = read(page) if is_upright else read_upright(page, read)
        return reading if options is None else interpret(reading, options)

    def read_single(self, picture: Picture, threshold: float = THRESHOLD, *, page: int = 1) -> SingleDigit:
        """Read a picture of exactly one digit.

        Parameters
        ----------
        picture, page
            As for `read`.
        threshold
            0 to 1; no digit is returned if its confidence is lower.

        Raises
        ------
        DigitsError
            As for `read`, or the threshold is not from 0 to 1.
        """
        if not 0 <= threshold <= 1:
            raise DigitsError(f"expected a threshold from 0 to 1, got {threshold}")
        reading = self.read(picture, page=page)
        digits = [*reading.digits, *(guess for guess in reading.guesses if guess is not None)]
        if not digits:
            return SingleDigit(None, 0.0, (1 / CLASSES,) * CLASSES)
        best = max(digits, key=lambda digit: digit.confidence)
        digit = best.digit if best.confidence >= threshold else None
        return SingleDigit(digit, best.confidence, best.probabilities)

    def predict(self, images: NDArray[np.uint8]) -> Predictions:
        """Recognise images of single digits.

        Parameters
        ----------
        images
            uint8, shape (N, 28, 28), 0 background to 255 ink; N may be 0.

        Raises
        ------
        DigitsError
            The array has another dtype or shape, or the model was trained on pictures of numbers.
        """
        check_images(images)
        if self.reads_numbers:
            raise DigitsError(
                f"{self.path} was trained on pictures of whole numbers: it reads, but it does not predict "
                "images of single digits"
            )
        with following("Predicting") as tell:
            batches = run_in_batches(self._session, self._outputs, images, self._threads)
            followed = counted(batches, ceil(len(images) / BATCH_SIZE), tell)
            return Predictions(*map(np.concatenate, zip(*followed, strict=True)))

    def __repr__(self) -> str:
        return "Recognizer()" if self.path == BUNDLED_MODEL else f"Recognizer({str(self.path)!r})"

    def _repr_html_(self) -> str:
        """Return what the model is and reads, for a notebook."""
        return facts(self._facts())

    def _facts(self) -> Iterator[tuple[str, str]]:
        yield "model", "comes with the package" if self.path == BUNDLED_MODEL else str(self.path)
        if self.path.exists():  # it may have been deleted since
            yield "size", bytes_in_words(self.path.stat().st_size)
        yield "recipe", self._session.get_modelmeta().custom_metadata_map.get("recipe", "–")
        yield "reads", f"{'' if self.reads_numbers else 'images of single digits, and '}pictures of numbers"
        if self.images:
            yield "digits", f"{self.images:,}, of which {self.held_out:,} were held out of training"


def _find_model(path: Path) -> Path:
    if path.is_file():
        return path
    if path.suffix == ".onnx" and not path.exists():
        raise DigitsError(f"there is no model {path}{did_you_mean_path(path)}")
    read_environment(path)
    check_finished(path)
    model = path / MODEL
    if not model.exists():
        raise DigitsError(f"{path} is damaged: its {MODEL} is missing")
    return model


def _open_session(path: Path) -> onnxruntime.InferenceSession:
    try:
        session = start_session(path)
    except Exception as error:  # ONNX Runtime's exceptions have no other common base class
        kind = kind_of_file(path) or "damaged or not an ONNX model"
        raise DigitsError(f"{path} is {kind}; expected a run folder, or the {MODEL} in one") from error
    _check_metadata(session, path)
    _check_signature(session, path)
    return session


def _check_metadata(session: onnxruntime.InferenceSession, path: Path) -> None:
    """Raise `DigitsError` unless this package wrote the model, in a version no newer than this one."""
    metadata = session.get_modelmeta().custom_metadata_map
    if "format" not in metadata:
        raise DigitsError(f"{path} is not a model of digit-recognizer: its metadata have no format")
    check_format(metadata["format"], path)
    for name in ("images", "held_out"):
        if not metadata.get(name, "0").isdecimal():
            raise DigitsError(f"{path} is damaged: expected a number for {name}, got {metadata[name]!r}")


def _check_signature(session: onnxruntime.InferenceSession, path: Path) -> None:
    """Raise `DigitsError` unless a model has inputs and outputs of one of the two kinds."""
    inputs = [(value.name, value.type, value.shape[1:]) for value in session.get_inputs()]
    outputs = [(value.name, value.type, value.shape[1:]) for value in session.get_outputs()]
    names = [name for name, _, _ in outputs]
    if [each[:2] for each in inputs] == [(PAGE, "tensor(uint8)")] and names == READER_OUTPUTS:
        return
    if inputs != [("images", "tensor(uint8)", [SIDE, SIDE])] or outputs[:1] != [
        ("probabilities", "tensor(float)", [CLASSES])
    ]:
        raise DigitsError(
            f"{path} is not a model of digit-recognizer: expected uint8 'images' (N, {SIDE}, {SIDE}) and "
            f"float 'probabilities' (N, {CLASSES}), found {inputs} and {outputs}"
        )
