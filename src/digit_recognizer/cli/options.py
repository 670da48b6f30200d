"""Arguments and options that several commands share."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

SOURCE_HELP = (
    "The competition's archive, train.csv (also .gz), an IDX file, an .npz, a folder of these or of pictures "
    "by class, or one of the words bundled, mnist. Nothing named: $DIGITS_DATA, then data/, then bundled."
)
OF_RUN_HELP = f"{SOURCE_HELP.partition(' Nothing')[0]} Nothing named: what the run was trained on."


class Part(StrEnum):
    """The parts of a source."""

    TRAIN = "train"
    TEST = "test"


OfRun = Annotated[str | None, typer.Argument(metavar="SOURCE", help=OF_RUN_HELP, show_default=False)]
Source = Annotated[str | None, typer.Argument(metavar="SOURCE", help=SOURCE_HELP, show_default=False)]
OfPart = Annotated[Part, typer.Option(help="Which part of the source.")]
Model = Annotated[
    str | None,
    typer.Argument(
        metavar="[RUN]",
        help="A run folder, or a model.onnx. None named: the model that comes with the package.",
        show_default=False,
    ),
]
NamedModel = Annotated[
    Path | None,
    typer.Option(
        "--model",
        metavar="RUN",
        help=r"A run folder, or a model.onnx.  \[default: the model that comes with the package]",
    ),
]
Settings = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Change a setting of the recipe; may be repeated."),
]
CorrectionsFile = Annotated[
    Path | None,
    typer.Option(
        "--corrections-file",
        metavar="FILE",
        help=r"The file of corrections.  \[default: $DIGITS_CORRECTIONS_FILE, or runs/corrections.sqlite]",
    ),
]
Device = Annotated[str, typer.Option(help="cpu, cuda or cuda:1; auto takes a GPU if there is one.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")]
