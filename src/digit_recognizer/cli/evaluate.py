"""`digits evaluate`: the accuracy of a model on labelled digits."""

from __future__ import annotations

from typing import TYPE_CHECKING

from digit_recognizer.cli.options import Json, ModelArgument, Part, PartOfSource, SourceOfRun
from digit_recognizer.cli.terminal import make_console, print_json, say
from digit_recognizer.errors import DigitsError

if TYPE_CHECKING:
    from digit_recognizer.cli.inputs import Inputs
    from digit_recognizer.digits import Digits
    from digit_recognizer.evaluation import Evaluation
    from digit_recognizer.recognition import Recognizer


def evaluate(
    model: ModelArgument = None,
    source: SourceOfRun = None,
    part: PartOfSource = Part.TRAIN,
    json: Json = False,
) -> None:
    """Compare predictions with labels.

    Shows the accuracy, the errors of each digit and the confusion matrix. Of its own digits, a run is
    evaluated on those that it held out for validation.
    """
    from digit_recognizer.cli.inputs import find_inputs
    from digit_recognizer.evaluation import evaluate as compare
    from digit_recognizer.recognition import Recognizer
    from digit_recognizer.sources import load_digits

    inputs = find_inputs(model, source)
    recognizer = Recognizer(inputs.model)
    loaded = load_digits(inputs.source, part.value)
    digits = held_out_digits(recognizer, inputs, loaded)
    if digits.labels is None:
        raise DigitsError(f"{inputs.source}: its {part} part has no labels to compare with")
    evaluation = compare(recognizer.predict(digits.images), digits.labels)
    what = f"{inputs.source}, {f'{part} part' if digits is loaded else 'held-out validation images'}"
    if json:
        print_json({"what": what, **evaluation.as_dict()})
    else:
        show_evaluation(evaluation, what)


def held_out_digits(recognizer: Recognizer, inputs: Inputs, digits: Digits) -> Digits:
    """Return the digits that a model was not trained on: those that its run held out, or all other digits.

    Raises
    ------
    DigitsError
        It was trained on all of them, or it was trained on some, and only its run folder knows which.
    """
    from digit_recognizer.runs.split import held_out_rows

    rows = None
    if inputs.run is not None and inputs.environment is not None:
        rows = held_out_rows(inputs.run, inputs.environment, digits)
    if rows is None and recognizer.trained_on != digits.sha256():
        return digits
    if rows is not None and len(rows):
        return digits[rows]
    name = inputs.run or recognizer.path
    if rows is None and recognizer.held_out:
        raise DigitsError(
            f"{name} was trained on {inputs.source} without {recognizer.held_out:,} images, and only its run "
            "folder records which; name the run folder, or evaluate on other digits"
        )
    raise DigitsError(f"{name} was trained on all of {inputs.source}; evaluate it on other digits")


def show_evaluation(evaluation: Evaluation, what: str) -> None:
    """Print the accuracy, and a table with a row for each digit and the confusion matrix."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    from digit_recognizer.formatting import percent, score_in_words

    say(f"{what}:")
    console = make_console()
    score = score_in_words(evaluation.images, evaluation.errors)
    console.print(Text(f"{score}\n", "bold green"), soft_wrap=True)
    table = Table(
        box=box.SIMPLE_HEAD,
        title="digit (row) taken for (column)",
        title_justify="left",
        padding=0,
        pad_edge=False,
    )
    for heading in ("", *map(str, range(10)), "images", "errors", "accuracy"):
        table.add_column(heading, justify="right", no_wrap=True, min_width=4 if heading else 1)
    values = evaluation.as_dict()
    for row, counts in zip(values["per_digit"], values["confusion"], strict=True):
        cells = [str(number) if number else "·" for number in counts]
        accuracy = "–" if row["accuracy"] is None else percent(row["accuracy"])
        table.add_row(str(row["digit"]), *cells, f"{row['images']:,}", str(row["errors"]), accuracy)
    console.print(table)
