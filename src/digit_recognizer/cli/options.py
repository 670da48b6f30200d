"""Arguments and options that several commands share."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from functools import partial
from math import inf, nan
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

import digit_recognizer
from digit_recognizer.errors import DigitsError
from digit_recognizer.runs.run_folder import holds_training

if TYPE_CHECKING:
    from digit_recognizer.engines import Engine
    from digit_recognizer.recipes import Recipe

DEFAULT_RECIPE = "standard"
DEVICES = ("auto", "cpu", "cuda")  # offered by completion
RUNS = Path("runs")  # the folder in which 'digits train' creates runs by default

# Options under titles of their own in the help
output_option = partial(typer.Option, rich_help_panel="Output")
corrections_option = partial(typer.Option, rich_help_panel="Corrections")

DIGITS = (
    "The digits: the competition's archive, a train.csv (also .gz), an IDX file, an .npz file, a folder with "
    "one of these or with pictures by class, or the word bundled or mnist."
)


def complete_recipe(incomplete: str) -> list[str]:
    """Return the recipes that start like what the user typed; without any, a shell offers files."""
    packaged = (
        Path(digit_recognizer.__file__).with_name("recipes").glob("*.toml")
    )  # pydantic is slow to import
    return sorted(each.stem for each in packaged if each.stem.startswith(incomplete))


def complete_run(incomplete: str) -> list[str]:
    """Return the run folders that start like what the user typed; without any, a shell offers files."""
    typed = Path(incomplete)
    folders = dict.fromkeys((RUNS, typed if incomplete.endswith(os.sep) else typed.parent))
    names = [str(each) for folder in folders for each in sorted(_entries(folder)) if holds_training(each)]
    return [name for name in names if name.startswith(incomplete)]


def _entries(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir())
    except OSError:
        return []


def whole(least: int, most: int | None = None) -> Callable[[str], int]:
    """Return what reads the whole number after an option: typer's own errors do not say what was found."""

    def parse(text: str) -> int:
        value = _whole(text)
        if value is None or value < least or (most is not None and value > most):
            upwards = f" from {least}" if most is None else f" from {least} to {most}"
            raise typer.BadParameter(f"expected a whole number{upwards}, got {text!r}")
        return value

    return parse


def _whole(text: str) -> int | None:
    """Return the whole number that a text is in any notation, such as ``1e3``."""
    for read in (int, float):
        try:
            value = read(text)
        except ValueError:
            continue
        return int(value) if value == value // 1 else None
    return None


def real(least: float, most: float = inf) -> Callable[[str], float]:
    """Return what reads the number after an option."""

    def parse(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = nan
        if not least <= value <= most:
            upwards = f" from {least:g}" if most == inf else f" from {least:g} to {most:g}"
            hint = "; write the decimals after a point" if "," in text else ""
            raise typer.BadParameter(f"expected a number{upwards}, got {text!r}{hint}")
        return value

    return parse


class EngineName(StrEnum):
    """Where work that can be divided runs."""

    LOCAL = "local"
    RAY = "ray"


@contextmanager
def open_engine(name: EngineName, threads: int = 1, gpus: int = 0) -> Iterator[Engine | None]:
    """Give the engine for tasks of so many threads and GPUs; None for this process."""
    if name is EngineName.LOCAL:
        yield None
        return
    from digit_recognizer.engines.ray_engine import RayEngine

    with RayEngine(threads, gpus) as engine:
        yield engine


@contextmanager
def open_task_engine(
    name: EngineName, device: str, recipe: Recipe | Path | None = None
) -> Iterator[Engine | None]:
    """Give the engine for trainings, each as on this machine; refuse a `recipe` without members first."""
    if name is EngineName.LOCAL:
        yield None
        return
    from digit_recognizer import training
    from digit_recognizer.recipes import as_recipe

    if recipe is not None:
        training.check_has_members(as_recipe(recipe))
    with open_engine(name, *training.task_resources(device)) as engine:
        yield engine


class Part(StrEnum):
    """The parts of a source."""

    TRAIN = "train"
    TEST = "test"


Source = Annotated[
    str | None,
    typer.Argument(
        metavar="SOURCE",
        help=f"{DIGITS} Default: $DIGITS_DATA, then data/, then the current folder, then bundled.",
        show_default=False,
    ),
]
SourceOfRun = Annotated[
    str | None,
    typer.Argument(
        metavar="SOURCE",
        help=f"{DIGITS} Default: the digits that the run was trained on.",
        show_default=False,
    ),
]
PartOfSource = Annotated[Part, typer.Option(help="Which part of the source to use.")]
ModelArgument = Annotated[
    str | None,
    typer.Argument(
        metavar="[RUN]",
        help="A run folder or a model.onnx. Default: the model that comes with the package.",
        show_default=False,
        autocompletion=complete_run,
    ),
]
ModelOption = Annotated[
    Path | None,
    typer.Option(
        "--model",
        metavar="RUN",
        help=r"A run folder or a model.onnx.  \[default: the model that comes with the package]",
        autocompletion=complete_run,
    ),
]
RecipeArgument = Annotated[
    str,
    typer.Argument(
        help="A name from 'digits recipes', or a .toml file.",
        show_default=False,
        autocompletion=complete_recipe,
    ),
]
Epochs = Annotated[
    int | None, typer.Option(parser=whole(1), metavar="N", help="Passes over the training images, at most.")
]
BatchSize = Annotated[int | None, typer.Option(parser=whole(1), metavar="N", help="Images per step.")]
LearningRate = Annotated[
    float | None,
    typer.Option(parser=real(0), metavar="X", help="The optimizer's learning rate, such as 0.001."),
]
Settings = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Change any setting of the recipe. Repeatable."),
]
CorrectionsFile = Annotated[
    Path | None,
    corrections_option(
        "--corrections-file",
        metavar="FILE",
        help=r"The file of corrections.  \[default: $DIGITS_CORRECTIONS_FILE, or runs/corrections.sqlite]",
    ),
]
Device = Annotated[
    str,
    typer.Option(
        help="cpu, cuda or cuda:1; auto uses a GPU if there is one.",
        autocompletion=lambda incomplete: [each for each in DEVICES if each.startswith(incomplete)],
    ),
]
EngineOption = Annotated[
    EngineName,
    typer.Option(
        "--engine",
        help="Where to compute: in this process, or on a Ray cluster, at $RAY_ADDRESS or else started here.",
    ),
]
SkipBad = Annotated[
    bool, typer.Option("--skip-bad", help="Leave out pictures that are broken; without it, they are errors.")
]
Json = Annotated[bool, output_option("--json", help="Print JSON instead of text.")]


def refuse(*conflicts: tuple[object, str]) -> None:
    """Raise `DigitsError` with the sentence of the first conflict that is true."""
    for conflict, sentence in conflicts:
        if conflict:
            raise DigitsError(sentence)


def all_settings(
    settings: list[str] | None, epochs: int | None, batch_size: int | None, learning_rate: float | None
) -> list[str]:
    """Return the settings of ``--set``, and those that have options of their own.

    Raises
    ------
    DigitsError
        A setting is given twice, by its option and by ``--set``.
    """
    changes = list(settings or [])
    keys = {setting_key(each) for each in changes}
    options = {"epochs": epochs, "batch_size": batch_size, "optimizer.learning_rate": learning_rate}
    for key, value in options.items():
        if value is not None:
            option = "--" + key.rpartition(".")[2].replace("_", "-")
            refuse((key in keys, f"{option} and --set {key} are the same setting; remove one"))
            changes.append(f"{key}={value}")
    return changes


def as_typed(
    settings: list[str] | None, epochs: int | None, batch_size: int | None, learning_rate: float | None
) -> str:
    """Return what `all_settings` takes, as the user typed it: ``--set batch_size=64, --epochs 3``."""
    options = {"--epochs": epochs, "--batch-size": batch_size, "--learning-rate": learning_rate}
    given = [f"{option} {value}" for option, value in options.items() if value is not None]
    return ", ".join([*(f"--set {each}" for each in settings or []), *given])


def setting_key(setting: str) -> str:
    """Return the key of ``KEY=VALUE``."""
    return setting.partition("=")[0].strip()
