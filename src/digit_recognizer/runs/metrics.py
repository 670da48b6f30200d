"""``metrics.json``: how good a finished run is."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from digit_recognizer.errors import DigitsError
from digit_recognizer.evaluation import accuracy_values
from digit_recognizer.files import write_json
from digit_recognizer.formatting import score_in_words
from digit_recognizer.number_evaluation import character_values
from digit_recognizer.runs.run_folder import METRICS, read_json

NUMBERS = ("epochs", "seconds", "training_images", "parameters", "trained_parameters")
CHARACTER_COUNTS = ("characters", "character_errors")  # of a score of numbers


@dataclass(frozen=True, slots=True)
class Score:
    """How well a model does on labelled digits, or on pictures of numbers.

    Attributes
    ----------
    images, errors
        How many were compared, at least one, and how many of them were misread.
    loss
        Mean cross-entropy in nats; of numbers, mean of the negative logarithm of the probability of the text.
    characters, character_errors
        Of numbers: how many characters are written, and how many changes what was read needs; None for single
        digits.
    """

    images: int
    errors: int
    loss: float
    characters: int | None = None
    character_errors: int | None = None

    @property
    def accuracy(self) -> float:
        """Fraction of correct answers, 0 to 1."""
        return accuracy_values(self.images, self.errors)["accuracy"]

    @property
    def character_error_rate(self) -> float | None:
        """Changes per character of numbers; None for single digits."""
        if self.characters is None or self.character_errors is None:
            return None
        return self.character_errors / self.characters

    def in_words(self) -> str:
        """Return what the command line says."""
        return score_in_words(self.images, self.errors, self.character_error_rate)

    def as_json(self) -> dict[str, Any]:
        """Return what files and JSON lines say."""
        value = {**accuracy_values(self.images, self.errors), "loss": self.loss}
        if self.characters is None or self.character_errors is None:
            return value
        return {**value, **character_values(self.characters, self.character_errors)}


@dataclass(frozen=True, slots=True)
class Metrics:
    """What a finished run reached.

    Attributes
    ----------
    members, epochs
        Networks trained, and epochs of all of them together.
    seconds
        Time spent in epochs.
    training_images
        Images trained on.
    parameters, trained_parameters
        Numbers stored by all members, and those that the optimizer changes.
    validation
        On the images held out for validation; None without any.
    fold
        In cross-validation, on the fold; otherwise None.
    corrections
        What corrections gained and cost; None without corrections.
    character_error_rate
        Of numbers: changes per character on the pictures of `validation` or `fold`; None for single digits.
    warning
        A sentence, if the model is no better than always answering the most frequent digit; otherwise None.
    """

    members: int
    epochs: int
    seconds: float
    training_images: int
    parameters: int
    trained_parameters: int
    validation: Score | None
    fold: Score | None = None
    corrections: dict[str, Any] | None = None
    character_error_rate: float | None = None
    warning: str | None = None

    def as_json(self) -> dict[str, Any]:
        """Return the content of ``metrics.json``."""
        value: dict[str, Any] = {
            "members": self.members,
            "epochs": self.epochs,
            "seconds": self.seconds,
            "training_images": self.training_images,
            "parameters": self.parameters,
            "trained_parameters": self.trained_parameters,
            "validation": None if self.validation is None else self.validation.as_json(),
        }
        value |= {} if self.fold is None else {"fold": self.fold.as_json()}
        value |= {} if self.corrections is None else {"corrections": self.corrections}
        rate = self.character_error_rate
        value |= {} if rate is None else {"character_error_rate": rate}
        value |= {} if self.warning is None else {"warning": self.warning}
        return value

    def write(self, folder: Path) -> None:
        """Write ``metrics.json``; raise `DigitsError` if that fails."""
        write_json(folder / METRICS, self.as_json())


def read_metrics(folder: Path) -> Metrics:
    """Read and check a run's ``metrics.json``; raise `DigitsError` if it is missing or damaged."""
    path = folder / METRICS
    value = read_json(path)
    members = value.get("members", 1)  # runs of the first version do not say
    if type(members) is not int or members < 1:  # a bool is an int, too
        raise DigitsError(f"{path} is damaged: expected at least one member, got {members!r}")
    if not all(type(value.get(key)) in (int, float) for key in NUMBERS):
        raise DigitsError(f"{path} is damaged: expected numbers for {', '.join(NUMBERS)}")
    numbers = {key: value[key] for key in NUMBERS}
    return Metrics(
        members=members,
        **numbers,
        validation=_score(value.get("validation"), path),
        fold=_score(value.get("fold"), path),
        corrections=value.get("corrections"),
        character_error_rate=value.get("character_error_rate"),
        warning=None if value.get("warning") is None else str(value["warning"]),
    )


def _score(value: Any, path: Path) -> Score | None:
    if value is None:
        return None
    try:
        characters = [None if value.get(key) is None else int(value[key]) for key in CHARACTER_COUNTS]
        score = Score(int(value["images"]), int(value["errors"]), float(value["loss"]), *characters)
        if not 0 <= score.errors <= score.images or not score.images:
            raise ValueError(f"{score.errors} errors of {score.images} images")
        if score.characters == 0 or characters.count(None) == 1:
            raise ValueError(f"{score.character_errors} errors of {score.characters} characters")
    except (KeyError, TypeError, ValueError) as error:
        raise DigitsError(f"{path} is damaged: expected images, errors and loss, got {value!r}") from error
    return score
