"""Which model a command uses, and which digits it may be judged by."""

from __future__ import annotations

from pathlib import Path

from digit_recognizer.cli.runs import source_of_run
from digit_recognizer.digits import Digits
from digit_recognizer.errors import DigitsError
from digit_recognizer.recognition import Recognizer
from digit_recognizer.runs import run_folder
from digit_recognizer.sources.load import BUNDLED, MNIST


def model_and_source(model: str | None, source: str | None) -> tuple[Path | None, Path | None, str]:
    """Tell what the two words of a command are.

    Returns
    -------
    tuple
        The model's path, None for the one that comes with the package; the run folder that it belongs to,
        None for one that was taken out of it; and the source, found where none is named.

    Raises
    ------
    DigitsError
        There is nothing of a name that stands alone, or the source is a run folder.
    """
    if model is not None and source is None and not _is_model(Path(model)):
        _must_exist(model)
        model, source = None, model
    path = None if model is None else Path(model)
    run = None if path is None else _run_of(path)
    return path, run, source_of_run(run, source)


def unseen(recognizer: Recognizer, run: Path | None, digits: Digits, source: str) -> tuple[Digits, bool]:
    """Return the digits that a model was not trained on, and whether that is a choice of them.

    Raises
    ------
    DigitsError
        It was trained on all of them, or none but its run folder knows on which.
    """
    rows = None if run is None else run_folder.held_out_rows(run, digits)
    if rows is None and recognizer.trained_on != digits.sha256():
        return digits, False
    if rows is not None and len(rows):
        return digits[rows], True
    name = recognizer.path if run is None else run
    if rows is None and recognizer.held_out:
        raise DigitsError(
            f"{name} was trained on {source} without {recognizer.held_out:,} images, and only its run folder "
            "knows which: name that, or give other digits to evaluate it on"
        )
    raise DigitsError(f"{name} was trained on all of {source}: give other digits to evaluate it on")


def _is_model(path: Path) -> bool:
    return path.suffix == ".onnx" or run_folder.holds_training(path)


def _must_exist(name: str) -> None:
    """Raise `DigitsError` where one word is no path, nor names a source by itself."""
    if name not in (BUNDLED, MNIST) and not Path(name).exists():
        raise DigitsError(
            f"there is nothing named {name}: neither a run folder or model nor a source of digits"
        )


def _run_of(model: Path) -> Path | None:
    """Return the run folder that a model belongs to; None for a model.onnx that was taken out of it."""
    folder = model if model.is_dir() else model.parent
    return folder if (folder / run_folder.ENVIRONMENT).exists() else None
