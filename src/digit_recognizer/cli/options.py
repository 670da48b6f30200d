"""Arguments and options that several commands share."""

from __future__ import annotations

from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from digit_recognizer.errors import DigitsError

DEFAULT_RECIPE = "standard"

# Options under titles of their own in the help
output_option = partial(typer.Option, rich_help_panel="Output")
corrections_option = partial(typer.Option, rich_help_panel="Corrections")

DIGITS = (
    "The digits: the competition's archive, a train.csv (also .gz), an IDX file, an .npz file, a folder with "
    "one of these or with pictures by class, or the word bundled or mnist."
)


class Part(StrEnum):
    """The parts of a source."""

    TRAIN = "train"
    TEST = "test"


Source = Annotated[
    str | None,
    typer.Argument(
        metavar="SOURCE",
        help=f"{DIGITS} Default: $DIGITS_DATA, then data/, then bundled.",
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
    ),
]
ModelOption = Annotated[
    Path | None,
    typer.Option(
        "--model",
        metavar="RUN",
        help=r"A run folder or a model.onnx.  \[default: the model that comes with the package]",
    ),
]
RecipeArgument = Annotated[
    str, typer.Argument(help="A name from 'digits recipes', or a .toml file.", show_default=False)
]
Settings = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Change a setting of the recipe. Repeatable."),
]
CorrectionsFile = Annotated[
    Path | None,
    corrections_option(
        "--corrections-file",
        metavar="FILE",
        help=r"The file of corrections.  \[default: $DIGITS_CORRECTIONS_FILE, or runs/corrections.sqlite]",
    ),
]
Device = Annotated[str, typer.Option(help="cpu, cuda or cuda:1; auto uses a GPU if there is one.")]
Json = Annotated[bool, output_option("--json", help="Print JSON instead of text.")]


def refuse(*conflicts: tuple[object, str]) -> None:
    """Raise `DigitsError` with the sentence of the first conflict that is true."""
    for conflict, sentence in conflicts:
        if conflict:
            raise DigitsError(sentence)
