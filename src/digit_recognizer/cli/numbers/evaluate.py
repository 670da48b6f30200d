"""`digits evaluate` with a model and a source of whole numbers."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from digit_recognizer.cli.numbers.source import is_numbers_run, named_source
from digit_recognizer.cli.terminal import as_argument, command_line, make_console, print_json, say
from digit_recognizer.errors import DigitsError
from digit_recognizer.runs.run_folder import ENVIRONMENT, check_finished

if TYPE_CHECKING:
    from rich.table import Table

    from digit_recognizer.number_evaluation import NumberEvaluation
    from digit_recognizer.recognition import Recognizer
    from digit_recognizer.sources.numbers import NumberPictures

WORST_SHOWN = 10


def evaluates_numbers(model: str | None, source: str | None) -> bool:
    """Return whether a model, or a source if only one is named, is of whole numbers."""
    from digit_recognizer.sources.numbers import is_number_table

    if source is not None and is_number_table(source):
        return True
    if model is None:
        return False
    path = Path(model)
    run = path.parent if path.suffix == ".onnx" else path
    if (run / ENVIRONMENT).exists():
        return is_numbers_run(run)
    return is_number_table(path)


def evaluate_numbers(model: str | None, source: str | None, *, part: str, skip_bad: bool, json: bool) -> None:
    """Read the pictures of a source, and compare what is read with their labels."""
    from digit_recognizer.sources.numbers import is_number_table

    if model is not None and source is None and is_number_table(model):
        model, source = None, model
    evaluation, _, what = read_source(model, source, part=part, skip_bad=skip_bad, command="evaluate")
    if json:
        print_json({"what": what, **evaluation.as_dict()})
    else:
        _show(evaluation, what)


def read_source(
    model: str | None, source: str | None, *, part: str, skip_bad: bool = False, command: str
) -> tuple[NumberEvaluation, NumberPictures, str]:
    """Read the pictures of a source that a model was not trained on; return them and what they are called."""
    from digit_recognizer.number_evaluation import NumberEvaluation
    from digit_recognizer.progress import counted, following
    from digit_recognizer.recognition import Recognizer
    from digit_recognizer.recognition.number_reader import as_number
    from digit_recognizer.sources.numbers import load_numbers

    run = None if model is None else Path(model)
    if run is not None and run.is_dir():
        check_finished(run)
    folder = run.parent if run is not None and run.suffix == ".onnx" else run
    again = command_line(command, as_argument(run), "SOURCE") if run else ""
    named = named_source(source, folder, again)
    recognizer = Recognizer(model)
    pictures, what = _choose_pictures(recognizer, load_numbers(named, skip_bad=skip_bad), named, part)
    with following("Reading") as tell:
        readings = counted(map(recognizer.read_page, pictures.pictures), len(pictures), tell)
        numbers = map(as_number, readings, pictures.labels, pictures.files)
        return NumberEvaluation(tuple(numbers)), pictures, what


def _choose_pictures(
    recognizer: Recognizer, pictures: NumberPictures, source: str, part: str
) -> tuple[NumberPictures, str]:
    """Return those of a source that a model was not trained on, and what they are called."""
    if part == "test":
        chosen = pictures.of_parts("test")
        if not len(chosen):
            raise DigitsError(f"{source} has no test part: no row has the part test")
        return chosen, f"{source}, test part"
    own = pictures.without_test()
    if recognizer.trained_on == own.sha256():
        rows = recognizer.evaluation_rows
        if rows is None or not len(rows):
            raise DigitsError(
                f"{recognizer.path} was trained on all of {source}; evaluate it on other pictures"
            )
        return own[rows], f"{source}, held-out validation pictures"
    validation = own.of_parts("validation")
    return (validation, f"{source}, validation part") if len(validation) else (own, source)


def _show(evaluation: NumberEvaluation, what: str) -> None:
    from rich.text import Text

    from digit_recognizer.evaluation import accuracy_values
    from digit_recognizer.formatting import count, percent, percent_range

    numbers = len(evaluation.numbers)
    values = accuracy_values(numbers, evaluation.errors)
    interval = percent_range(*values["accuracy_interval_95"])
    say(f"{what}:")
    console = make_console()
    exactly = f"{percent(values['accuracy'])} of {count(numbers, 'number')} read exactly (95 %: {interval})"
    console.print(Text(exactly, "bold green"), soft_wrap=True)
    say(f"{percent(evaluation.character_error_rate)} of the characters wrong")
    console.print(_by_length(evaluation))
    if evaluation.worst:
        console.print(_worst(evaluation))


def _by_length(evaluation: NumberEvaluation) -> Table:
    from rich import box
    from rich.table import Table

    from digit_recognizer.formatting import percent

    table = Table(box=box.SIMPLE_HEAD)
    for heading in ("characters", "numbers", "errors", "exactly"):
        table.add_column(heading, justify="right")
    for length, (numbers, errors) in evaluation.lengths.items():
        table.add_row(str(length), f"{numbers:,}", f"{errors:,}", percent(1 - errors / numbers))
    return table


def _worst(evaluation: NumberEvaluation) -> Table:
    from rich import box
    from rich.table import Table

    from digit_recognizer.cli.terminal import printable

    table = Table(box=box.SIMPLE_HEAD, title="the worst", title_justify="left")
    for heading in ("file", "written", "read", "confidence"):
        table.add_column(heading)
    for each in evaluation.worst[:WORST_SHOWN]:
        table.add_row(printable(each.file), each.label, each.text or "nothing", f"{each.confidence:.2f}")
    return table
