"""`digits corrections`: list, export or clear the corrections made on the page."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from digit_recognizer.cli.options import CorrectionsFile, Json
from digit_recognizer.cli.terminal import make_console, print_json, say
from digit_recognizer.errors import DigitsError

if TYPE_CHECKING:
    from digit_recognizer.corrections import Correction, CorrectionStore

corrections = typer.Typer(
    name="corrections",
    help="List, export or clear the corrections made on the page. "
    "'digits train --with-corrections' trains on them.",
    no_args_is_help=True,
)


@corrections.command("list")
def list_corrections(file: CorrectionsFile = None, json: Json = False) -> None:
    """List the corrections, oldest first."""
    store = _open(file)
    found = store.all()
    if json:
        for each in found:
            values = {"read_as": each.read_as, "label": each.label, "model": each.model}
            print_json({"id": each.id, "time": each.time, **values})
    elif found:
        _show_table(found)
    else:
        say(f"{store.path} has no corrections.")


def _show_table(found: list[Correction]) -> None:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD)
    for heading in ("id", "time", "read as", "label", "model"):
        table.add_column(heading, justify="right" if heading == "id" else "left")
    for each in found:
        read_as, label = ("no digit" if digit is None else str(digit) for digit in (each.read_as, each.label))
        table.add_row(*map(Text, (str(each.id), each.time, read_as, label, each.model)))
    make_console().print(table)


@corrections.command()
def export(
    target: Annotated[
        Path,
        typer.Argument(metavar="TARGET", help="The file to write, .npz or .csv. Both are sources of digits."),
    ],
    file: CorrectionsFile = None,
) -> None:
    """Write the corrections as an .npz file, or as a .csv file like the competition's train.csv."""
    from digit_recognizer.corrections import save_corrections
    from digit_recognizer.formatting import count
    from digit_recognizer.sources import write_training_csv

    ending = target.suffix.lower()
    if ending not in (".npz", ".csv"):
        raise DigitsError(f"cannot write {target}; expected a name that ends in .npz or .csv")
    store = _open(file)
    samples = store.samples()
    digits, non_digits = int(samples.is_digit.sum()), int((~samples.is_digit).sum())
    if not len(samples) or (ending == ".csv" and not digits):
        raise DigitsError(f"{store.path} has no corrections that can be written to {target}")
    if ending == ".csv":
        write_training_csv(samples.digits(), target)
        rest = f"; {count(non_digits, 'non-digit')} left out, use .npz to keep them" if non_digits else ""
    else:
        save_corrections(target, samples)
        rest = f", and {count(non_digits, 'non-digit')} in a separate array" if non_digits else ""
    say(f"Wrote {target}: {count(digits, 'correction')}{rest}.")


@corrections.command()
def clear(
    file: CorrectionsFile = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Delete all corrections and their images from the disk."""
    from digit_recognizer.formatting import count

    store = _open(file)
    number = store.count()
    if not number:
        say(f"{store.path} has no corrections.")
        return
    if not yes:
        typer.confirm(f"Delete {count(number, 'correction')} in {store.path}?", abort=True)
    say(f"Deleted {count(store.clear(), 'correction')}.")


def _open(file: Path | None) -> CorrectionStore:
    from digit_recognizer.corrections import CorrectionStore, corrections_path

    return CorrectionStore(corrections_path(file), create=False)
