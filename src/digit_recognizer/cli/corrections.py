"""`digits corrections`: list, export or clear the corrections made on the page."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from digit_recognizer.cli.options import CorrectionsFile, Json
from digit_recognizer.cli.terminal import make_console, print_json, say
from digit_recognizer.errors import DigitsError

if TYPE_CHECKING:
    from digit_recognizer.corrections import Correction, CorrectionStore, NumberCorrection

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
    found: list[Correction | NumberCorrection] = sorted(
        [*store.all(), *store.numbers()], key=lambda each: each.time
    )  # stable: within a second, as stored
    if json:
        for each in found:
            print_json(_as_json(each))
    elif found:
        _show_table(found)
    else:
        say(f"{store.path} has no corrections.")


def _as_json(each: Correction | NumberCorrection) -> dict[str, Any]:
    from digit_recognizer.corrections import Correction

    values = {"id": each.id, "time": each.time, "read_as": each.read_as}
    if isinstance(each, Correction):
        return {**values, "label": each.label, "model": each.model}
    height, width = each.picture.shape
    return {**values, "number": each.text, "model": each.model, "width": width, "height": height}


def _show_table(found: list[Correction | NumberCorrection]) -> None:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    from digit_recognizer.corrections import Correction

    table = Table(box=box.SIMPLE_HEAD)
    for heading in ("id", "time", "kind", "read as", "label", "model"):
        table.add_column(heading, justify="right" if heading == "id" else "left")
    for each in found:
        kind, right = ("digit", each.label) if isinstance(each, Correction) else ("number", each.text)
        read_as, label = (
            "no digit" if value in (None, "") else str(value) for value in (each.read_as, right)
        )
        table.add_row(*map(Text, (str(each.id), each.time, kind, read_as, label, each.model)))
    make_console().print(table)


@corrections.command()
def export(
    target: Annotated[
        Path,
        typer.Argument(
            metavar="TARGET",
            help="The file to write, .npz or .csv, which are sources of digits; or a new folder, for the "
            "pictures of whole numbers.",
        ),
    ],
    file: CorrectionsFile = None,
) -> None:
    """Write the corrections as an .npz file, or as a .csv file like the competition's train.csv.

    A folder gets the pictures of whole numbers, and labels.csv, with a row for each: file, label.
    """
    from digit_recognizer.corrections import save_corrections
    from digit_recognizer.formatting import count
    from digit_recognizer.sources import write_training_csv

    ending = target.suffix.lower()
    if not ending:
        _export_numbers(_open(file), target)
        return
    if ending not in (".npz", ".csv"):
        raise DigitsError(f"cannot write {target}; expected a name that ends in .npz or .csv, or a folder")
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


def _export_numbers(store: CorrectionStore, folder: Path) -> None:
    """Write the pictures of numbers and their labels into a new or empty folder."""
    from PIL import Image

    from digit_recognizer.files import make_directory, replacing, write_text
    from digit_recognizer.formatting import count

    found = store.numbers()
    if not found:
        raise DigitsError(f"{store.path} has no corrections of numbers that can be written to {folder}")
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise DigitsError(f"{folder} exists already; expected the name of a new folder")
    make_directory(folder)
    rows = ["file,label"]
    for each in found:
        name = f"number-{each.id}.png"
        with replacing(folder / name) as partial:
            Image.fromarray(each.picture).save(partial, format="PNG")
        rows.append(f'{name},"{each.text}"')
    write_text(folder / "labels.csv", "\n".join([*rows, ""]))
    say(f"Wrote {folder}: {count(len(found), 'number')}, and labels.csv.")


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
