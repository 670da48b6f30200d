"""`digits evaluate` and `digits submit`: a model's predictions, compared with labels or written."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from digit_recognizer.cli.options import (
    Json,
    ModelArgument,
    Part,
    PartOfSource,
    SkipBad,
    SourceOfRun,
    refuse,
)
from digit_recognizer.cli.terminal import make_console, print_json, print_widest, say
from digit_recognizer.errors import DigitsError

if TYPE_CHECKING:
    from rich.table import Table

    from digit_recognizer.cli.inputs import Inputs
    from digit_recognizer.digits import Digits
    from digit_recognizer.evaluation import Evaluation
    from digit_recognizer.recognition import Recognizer

LOW_CONFIDENCE = 0.5  # below, predictions of a submission are counted as unsure


def evaluate(
    model: ModelArgument = None,
    source: SourceOfRun = None,
    part: PartOfSource = Part.TRAIN,
    skip_bad: SkipBad = False,
    json: Json = False,
) -> None:
    """Compare predictions with labels.

    Shows the accuracy, the errors of each digit and the confusion matrix; of whole numbers, how many are
    read exactly, by their length, and the worst. Of what a model was trained on, that counts which it held
    out.
    """
    from digit_recognizer.cli.inputs import find_inputs, load
    from digit_recognizer.cli.numbers.evaluate import evaluate_numbers, evaluates_numbers
    from digit_recognizer.evaluation import evaluate as compare
    from digit_recognizer.recognition import Recognizer

    if evaluates_numbers(model, source):
        evaluate_numbers(model, source, part=part.value, skip_bad=skip_bad, json=json)
        return
    inputs = find_inputs(model, source, "evaluate")
    recognizer = Recognizer(inputs.model)
    loaded = load(inputs.source, part.value, skip_bad=skip_bad)
    digits = held_out_digits(recognizer, inputs, loaded)
    if digits.labels is None:
        raise DigitsError(f"{inputs.source}: its {part} part has no labels to compare with")
    evaluation = compare(recognizer.predict(digits.images), digits.labels)
    what = f"{inputs.source}, {f'{part} part' if digits is loaded else 'held-out validation images'}"
    note = _trained_on(recognizer, inputs, digits, loaded)
    if json:
        print_json({"what": what, **({"note": note} if note else {}), **evaluation.as_dict()})
    else:
        show_evaluation(evaluation, what, note)


def held_out_digits(recognizer: Recognizer, inputs: Inputs, digits: Digits) -> Digits:
    """Return the digits that a model was not trained on: those that its run held out, or all other digits.

    Raises
    ------
    DigitsError
        It was trained on all of them, or it was trained on some, and its file does not say which.
    """
    from digit_recognizer.runs.split import held_out_rows

    rows = None
    if inputs.run is not None and inputs.environment is not None:
        rows = held_out_rows(inputs.run, inputs.environment, digits)
    elif recognizer.trained_on == digits.sha256():
        rows = recognizer.evaluation_rows
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


def _trained_on(recognizer: Recognizer, inputs: Inputs, digits: Digits, loaded: Digits) -> str:
    """Return what the model that comes with the package was trained on; nothing for other models."""
    from digit_recognizer.formatting import count

    if inputs.model is not None:
        return ""
    if digits is not loaded:
        trained = count(len(loaded) - recognizer.held_out, "image")
        return (
            f"The model that comes with the package was trained on {trained} of {inputs.source}; "
            f"it is evaluated on the other {len(digits):,}."
        )
    return (
        "The model that comes with the package was trained on four fifths of the competition's train.csv, "
        "images of MNIST. If these digits are from MNIST too, it was trained on some of them."
    )


def submit(
    model: ModelArgument = None,
    source: SourceOfRun = None,
    output: Annotated[Path, typer.Option("--output", "-o", help="The file to write.")] = Path(
        "submission.csv"
    ),
    probabilities: Annotated[
        bool,
        typer.Option("--probabilities", help="Also write the probabilities, as an .npz file beside it."),
    ] = False,
    labelled: Annotated[
        bool,
        typer.Option("--labelled", help="Also predict images with labels, or as many as the training part."),
    ] = False,
    skip_bad: SkipBad = False,
) -> None:
    """Predict the test part and write the competition's submission (ImageId,Label).

    The test part of a train.csv is the test.csv beside it. Images to train on are refused.
    """
    from digit_recognizer.cli.inputs import find_inputs
    from digit_recognizer.files import check_can_write
    from digit_recognizer.formatting import count, percent
    from digit_recognizer.recognition import Recognizer
    from digit_recognizer.sources import load_test, write_probabilities, write_submission

    beside = output.with_suffix(".npz") if output.name else output
    refuse(
        (not output.name, f"cannot write {str(output)!r}; name a file, such as submission.csv"),
        (
            probabilities and beside == output,
            f"{output} would be both the submission and the probabilities; name the submission .csv",
        ),
    )
    inputs = find_inputs(model, source, "submit")
    check_can_write(output)
    recognizer = Recognizer(inputs.model)
    refuse(
        (
            recognizer.reads_numbers,
            f"{model} was trained on pictures of whole numbers, and submissions are of single digits: use "
            "'digits read --csv' for pictures",
        )
    )
    test = load_test(inputs.source, skip_bad=skip_bad)
    if not labelled:
        _check_is_test_part(test.digits, inputs, recognizer)
    predictions = recognizer.predict(test.digits.images)
    write_submission(predictions.labels, output, test.form)
    if probabilities:
        write_probabilities(predictions, beside, test.form)
    if not output.is_file():  # in a pipe, only the rows
        return
    names = f"{output} and {beside}" if probabilities else str(output)
    unsure = int((predictions.confidence < LOW_CONFIDENCE).sum())
    number = count(len(predictions), "prediction")
    below = f"{unsure:,} of them with a confidence below {percent(LOW_CONFIDENCE, 0)}"
    say(f"Wrote {names}: {number} for {inputs.source}, {below}.")


def _check_is_test_part(digits: Digits, inputs: Inputs, recognizer: Recognizer) -> None:
    """Raise `DigitsError` if images to submit are, or may be, those that the model was trained on."""
    from digit_recognizer.formatting import count

    advice = "name the competition's test.csv, or add --labelled to predict these"
    if digits.labels is not None:
        raise DigitsError(f"{inputs.source}: these images have labels, so they are no test part; {advice}")
    images = recognizer.images if inputs.environment is None else inputs.environment.data.images
    if len(digits) == images:
        raise DigitsError(
            f"{inputs.source} has {count(images, 'image')}, as many as the training part, so they may be "
            f"the training images without labels; {advice}"
        )


def show_evaluation(evaluation: Evaluation, what: str, note: str = "") -> None:
    """Print the accuracy, and a table with a row for each digit and the confusion matrix."""
    from rich.text import Text

    from digit_recognizer.formatting import score_in_words

    if note:
        say(note)
    say(f"{what}:")
    console = make_console()
    score = score_in_words(evaluation.images, evaluation.errors)
    console.print(Text(f"{score}\n", "bold green"), soft_wrap=True)
    sums = ("images", "errors", "accuracy")
    print_widest(
        _table(evaluation, sums),
        _table(evaluation, sums[1:]),  # the images are the sum of the row
        _table(evaluation, sums, with_confusion=False),
    )


def _table(evaluation: Evaluation, sums: Sequence[str], *, with_confusion: bool = True) -> Table:
    """Return the results of each digit, with the confusion matrix or, in narrow terminals, without."""
    from rich import box
    from rich.table import Table

    from digit_recognizer.formatting import percent

    table = Table(
        box=box.SIMPLE_HEAD,
        title="digit (row) taken for (column)" if with_confusion else None,
        title_justify="left",
        padding=0,
        pad_edge=False,
    )
    values = evaluation.as_dict()
    columns = map(str, range(len(values["confusion"]))) if with_confusion else ()
    for heading in ("" if with_confusion else "digit", *columns, *sums):
        table.add_column(heading, justify="right", no_wrap=True, min_width=4 if heading else 1)
    for row, counts in zip(values["per_digit"], values["confusion"], strict=True):
        cells = [f"{number:,}" if number else "·" for number in counts] if with_confusion else []
        accuracy = "–" if row["accuracy"] is None else percent(row["accuracy"])
        shown = {"images": f"{row['images']:,}", "errors": f"{row['errors']:,}", "accuracy": accuracy}
        table.add_row(str(row["digit"]), *cells, *(shown[each] for each in sums))
    return table
