"""The application: its commands, and the examples in their help."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

import typer

from digit_recognizer import __version__
from digit_recognizer.cli.corrections import corrections
from digit_recognizer.cli.doctor import doctor
from digit_recognizer.cli.evaluate import evaluate, submit
from digit_recognizer.cli.read import read
from digit_recognizer.cli.recipes import recipes, summary
from digit_recognizer.cli.report import report
from digit_recognizer.cli.serve import export_page, serve
from digit_recognizer.cli.train import train
from digit_recognizer.cli.tune import tune

MODELS, READING, MORE = "Train and evaluate", "Read pictures", "Recipes, corrections and help"

app = typer.Typer(
    name="digits",
    help="Read handwritten digits: train a network, evaluate it, and write the Kaggle submission.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"digit-recognizer {__version__}")
        raise typer.Exit


@app.callback()
def _common(
    _version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    pass


def _add(panel: str, command: Callable[..., None], *examples: str) -> None:
    epilog = "\n".join(["Examples:", *(f"  [cyan]{each}[/cyan]" for each in examples)])
    app.command(rich_help_panel=panel, epilog=epilog if examples else None)(command)


_add(
    MODELS,
    train,
    "digits train digit-recognizer.zip --recipe flash --out runs/first --report",
    "digits train --resume runs/first --epochs 40",
    "digits train digit-recognizer.zip --folds 5",
    "digits train --from runs/first --with-corrections",
)
_add(
    MODELS,
    tune,
    "digits tune flash digit-recognizer.zip --trials 50 --search optimizer.learning_rate=0.001..0.1",
)
_add(MODELS, evaluate, "digits evaluate runs/first", "digits evaluate runs/first mnist --part test --json")
_add(MODELS, submit, "digits submit runs/first digit-recognizer.zip -o submission.csv")
_add(MODELS, report, "digits report runs/first", "digits report runs/first runs/second mnist --part test")
_add(
    READING,
    read,
    "digits read phone-number.jpg",
    "digits read scans/ --csv numbers.csv",
    "digits read form.pdf --page 2 --show form.png",
    "digits read form.jpg --pattern 'd{1,4}' --threshold 0.9",
    "digits read form.jpg --digits 2",
    "digits read form.jpg --values numbers.txt",
    "digits read bill.jpg --decimal-mark , --csv amounts.csv",
    "digits read table.jpg --table",
    "digits read table.jpg --csv -",
)
_add(READING, serve, "digits serve --port 8080 --corrections")
_add(READING, export_page, "digits export-page public/")
_add(MORE, recipes, "digits recipes flash > mine.toml")
_add(MORE, summary, "digits summary flash")
_add(MORE, doctor, "digits doctor")
app.add_typer(corrections, rich_help_panel=MORE)
