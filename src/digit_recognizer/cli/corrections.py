"""The commands of the file of corrections: list, export, clear."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from digit_recognizer.cli.options import CorrectionsFile, Json
from digit_recognizer.errors import DigitsError

NO_DIGIT = "no digit"

corrections = typer.Typer(
    name="corrections",
    help="Show, export or clear what users corrected on the page; 'digits train --with-corrections' "
    "learns from it.",
    no_args_is_help=True,
)


@corrections.command("list")
def list_corrections(file: CorrectionsFile = None, json: Json = False) -> None:
    """List the corrections, the oldest first."""
    from digit_recognizer.cli.phrases import make_console, print_json

    store = _opened(file)
    found = store.all()
    if json:
        for each in found:
            named = {"read_as": each.read_as, "label": each.label, "model": each.model}
            print_json({"id": each.id, "time": each.time, **named})
        return
    console = make_console()
    if not found:
        console.print(f"{store.path} holds no corrections.", highlight=False, markup=False, soft_wrap=True)
        return
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD)
    for heading in ("id", "time", "read as", "label", "model"):
        table.add_column(heading, justify="right" if heading == "id" else "left")
    for each in found:
        cells = (str(each.id), each.time, _in_words(each.read_as), _in_words(each.label), each.model)
        table.add_row(*(Text(cell) for cell in cells))
    console.print(table)


@corrections.command()
def export(
    target: Annotated[
        Path,
        typer.Argument(
            metavar="TARGET", help="The file to write, .npz or .csv: a source of digits like any other."
        ),
    ],
    file: CorrectionsFile = None,
) -> None:
    """Write the corrections as an .npz, or as a .csv in the form of the competition's train.csv."""
    from digit_recognizer.cli.phrases import corrections_in_words
    from digit_recognizer.corrections import save_corrections
    from digit_recognizer.sources import write_training_csv

    ending = target.suffix.lower()
    if ending not in (".npz", ".csv"):
        raise DigitsError(f"{target} is neither .npz nor .csv: name one of these, such as corrections.csv")
    store = _opened(file)
    samples = store.samples()
    digits, others = int(samples.is_digit.sum()), int((~samples.is_digit).sum())
    if not len(samples) or (ending == ".csv" and not digits):
        raise DigitsError(f"{store.path} holds no corrections that can be written to {target}")
    if ending == ".csv":
        write_training_csv(samples.digits(), target)
        apart = f"; {others} of no digit left out: write an .npz to keep them" if others else ""
    else:
        save_corrections(target, samples)
        apart = f", and {others} of no digit in an array of their own" if others else ""
    _say(f"Wrote {target}: {corrections_in_words(digits)}{apart}.")


@corrections.command()
def clear(
    file: CorrectionsFile = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Delete all corrections, and their images off the disk."""
    from digit_recognizer.cli.phrases import corrections_in_words

    store = _opened(file)
    count = store.count()
    if not count:
        _say(f"{store.path} holds no corrections.")
        return
    if not yes:
        typer.confirm(f"Delete {corrections_in_words(count)} in {store.path}?", abort=True)
    _say(f"Deleted {corrections_in_words(store.clear())}.")


def _opened(file: Path | None) -> Any:
    from digit_recognizer.corrections import Corrections, corrections_path

    return Corrections(corrections_path(file), create=False)


def _in_words(label: int | None) -> str:
    return NO_DIGIT if label is None else str(label)


def _say(sentence: str) -> None:
    from digit_recognizer.cli.phrases import make_console

    make_console().print(sentence, highlight=False, markup=False, soft_wrap=True)
