"""``environment.json``: the data, the seed, the versions and the machine of a run."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from digit_recognizer.errors import DigitsError
from digit_recognizer.files import write_json
from digit_recognizer.runs.run_folder import (
    ENVIRONMENT,
    FOLDS,
    FORMAT,
    check_format,
    check_is_run,
    read_json,
)

CHECKSUMS = ("source", "sha256", "held_out_sha256")  # strings that every run has in `data`


@dataclass(frozen=True, slots=True)
class DataDescription:
    """Which digits a run uses.

    Attributes
    ----------
    source
        Where they came from, as an absolute path if it is one; empty for arrays.
    sha256, held_out_sha256, fold_sha256
        Checksums of the digits, of the rows held out for validation, and, in cross-validation, of the fold's.
    images, held_out
        Numbers of images: all, and those held out for validation.
    images_per_digit
        Ten numbers.
    """

    source: str
    sha256: str
    held_out_sha256: str
    images: int = 0
    held_out: int = 0
    images_per_digit: tuple[int, ...] = ()
    fold_sha256: str | None = None

    def as_json(self) -> dict[str, Any]:
        """Return the object ``data`` of ``environment.json``."""
        fold = {} if self.fold_sha256 is None else {"fold_sha256": self.fold_sha256}
        return {
            "source": self.source,
            "sha256": self.sha256,
            "images": self.images,
            "held_out": self.held_out,
            "held_out_sha256": self.held_out_sha256,
            **fold,
            "images_per_digit": list(self.images_per_digit),
        }


@dataclass(frozen=True, slots=True)
class Environment:
    """What a run was started with, except its recipe.

    Attributes
    ----------
    seed
        At least 0.
    data
        The digits.
    begun
        When it was started, in ISO 8601; empty if an old run does not say.
    versions, machine
        Names and values, such as ``torch`` and ``2.13.0``, or ``threads`` and 2.
    arithmetic
        For each kind of operation the precision in use and why; None in older runs.
    corrections
        The corrections that the run learns from, and the run that it starts from; None without corrections.
    """

    seed: int
    data: DataDescription
    begun: str = ""
    versions: dict[str, str] = field(default_factory=dict)
    machine: dict[str, str | int] = field(default_factory=dict)
    arithmetic: dict[str, Any] | None = None
    corrections: dict[str, Any] | None = None

    def write(self, folder: Path) -> None:
        """Write ``environment.json``; raise `DigitsError` if that fails."""
        value = {
            "format": FORMAT,
            "begun": self.begun,
            "seed": self.seed,
            "data": self.data.as_json(),
            "versions": self.versions,
            "machine": self.machine,
        }
        value |= {} if self.arithmetic is None else {"arithmetic": self.arithmetic}
        value |= {} if self.corrections is None else {"corrections": self.corrections}
        write_json(folder / ENVIRONMENT, value)


def read_environment(folder: Path) -> Environment:
    """Read and check a run's ``environment.json``.

    Raises
    ------
    DigitsError
        The folder is missing or is not a run folder, the file is damaged, or a newer version wrote it.
    """
    check_is_run(folder)
    path = folder / ENVIRONMENT
    value = read_json(path)
    check_format(value.get("format"), folder)
    data = value.get("data")
    if not (isinstance(data, dict) and all(isinstance(data.get(key), str) for key in CHECKSUMS)):
        raise DigitsError(
            f"{path} is damaged: expected an object 'data' with the texts {', '.join(CHECKSUMS)}"
        )
    for part in ("versions", "machine"):
        if not isinstance(value.get(part, {}), dict):
            raise DigitsError(f"{path} is damaged: expected an object for {part!r}, got {value[part]!r}")
    numbers = {
        "seed": value.get("seed"),
        "images": data.get("images", 0),
        "held_out": data.get("held_out", 0),
        "threads": value.get("machine", {}).get("threads", 0),
    }
    for name, number in numbers.items():
        if type(number) is not int or number < 0:  # a bool is an int, too
            raise DigitsError(f"{path} is damaged: expected a whole number for {name!r}, got {number!r}")
    return Environment(
        seed=numbers["seed"],
        data=DataDescription(
            source=data["source"],
            sha256=data["sha256"],
            held_out_sha256=data["held_out_sha256"],
            images=numbers["images"],
            held_out=numbers["held_out"],
            images_per_digit=tuple(data.get("images_per_digit", ())),
            fold_sha256=data.get("fold_sha256"),
        ),
        begun=str(value.get("begun", "")),
        versions=value.get("versions", {}),
        machine=value.get("machine", {}),
        arithmetic=value.get("arithmetic"),
        corrections=value.get("corrections"),
    )


def recorded_source(folder: Path) -> str:
    """Return the source of a run or of a cross-validation; empty for arrays.

    Raises
    ------
    DigitsError
        It is neither, or damaged.
    """
    if (folder / FOLDS).exists():
        return str(read_json(folder / FOLDS).get("source", ""))
    return read_environment(folder).data.source


def record_source(folder: Path, source: str) -> None:
    """Write the present place of the digits of a run, or of a cross-validation and its runs.

    Raises
    ------
    DigitsError
        A file is damaged or cannot be written.
    """
    for path in (folder / FOLDS, folder / ENVIRONMENT, *sorted(folder.glob(f"fold-*/{ENVIRONMENT}"))):
        if not path.exists():
            continue
        value = read_json(path)
        inner = value if path.name == FOLDS else value["data"]
        if inner["source"] != source:
            inner["source"] = source
            write_json(path, value)
