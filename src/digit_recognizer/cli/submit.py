"""`digits submit`: predictions in the form that the competition takes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from digit_recognizer.cli.options import ModelArgument, SourceOfRun, refuse
from digit_recognizer.cli.terminal import say


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
) -> None:
    """Predict the test part and write the competition's submission (ImageId,Label)."""
    from digit_recognizer.cli.inputs import find_inputs
    from digit_recognizer.formatting import count, percent
    from digit_recognizer.recognition import THRESHOLD, Recognizer
    from digit_recognizer.sources import load_digits, write_probabilities, write_submission

    beside = output.with_suffix(".npz") if output.name else output
    refuse(
        (not output.name, f"cannot write {str(output)!r}; name a file, such as submission.csv"),
        (
            probabilities and beside == output,
            f"{output} would be both the submission and the probabilities; name the submission .csv",
        ),
    )
    inputs = find_inputs(model, source)
    recognizer = Recognizer(inputs.model)
    digits = load_digits(inputs.source, "test")
    predictions = recognizer.predict(digits.images)
    write_submission(predictions.labels, output)
    if probabilities:
        write_probabilities(predictions, beside)
    if not output.is_file():  # in a pipe, only the rows
        return
    names = f"{output} and {beside}" if probabilities else str(output)
    unsure = int((predictions.confidence < THRESHOLD).sum())
    say(
        f"Wrote {names}: {count(len(predictions), 'prediction')}, {unsure:,} of them with a confidence below "
        f"{percent(THRESHOLD, 0)}."
    )
    if digits.labels is not None:
        say("Note: these images have labels; those of the competition's test.csv have none.")
