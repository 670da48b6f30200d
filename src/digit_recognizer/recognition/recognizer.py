"""The one way in which this package infers: ``model.onnx`` under ONNX Runtime."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from digit_recognizer import run_folder
from digit_recognizer.digits import CLASSES, SIDE, Predictions, check_images
from digit_recognizer.errors import DigitsError, first_line

__all__ = ["Recognizer"]

SHIPPED = Path(__file__).with_name("models") / "digits.onnx"
BATCH = 256  # images; larger batches leave the processor's caches and are slower


class Recognizer:
    """A trained model, ready to predict.

    Parameters
    ----------
    model
        A run folder, or the path of a ``model.onnx``; the model that comes with the package if None.
    threads
        Processor threads to compute with; all cores if None.

    Raises
    ------
    DigitsError
        There is no such folder or file, the run is not finished, the model is damaged, not one of this
        package's, or written by a newer version.
    """

    def __init__(self, model: str | Path | None = None, *, threads: int | None = None) -> None:
        self.path = SHIPPED if model is None else _find_model(Path(model))
        self._session = _open_session(self.path, threads)

    @property
    def trained_on(self) -> str | None:
        """The checksum of the digits of the model's training; None where the file does not say."""
        found: str | None = self._session.get_modelmeta().custom_metadata_map.get("trained_on")
        return found

    @property
    def held_out(self) -> int:
        """How many of those digits it was not trained on."""
        return int(self._session.get_modelmeta().custom_metadata_map.get("held_out", 0))

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
        starts = range(0, len(images), BATCH)
        batches = [self._session.run(["probabilities"], {"images": images[i : i + BATCH]})[0] for i in starts]
        return Predictions(np.concatenate(batches) if batches else np.empty((0, CLASSES), np.float32))


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


def _open_session(path: Path, threads: int | None) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # errors: what is wrong comes as an exception, not on the terminal
    options.intra_op_num_threads = threads or 0
    try:
        session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
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
