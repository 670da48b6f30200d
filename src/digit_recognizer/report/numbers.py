"""Write ``report.html`` about a run that was trained on pictures of whole numbers."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from digit_recognizer.evaluation import accuracy_values
from digit_recognizer.formatting import count, percent, percent_range, seconds_in_words
from digit_recognizer.number_evaluation import NumberEvaluation
from digit_recognizer.report import figures
from digit_recognizer.report.blocks import Block, Facts, Headline, Note, Picture, Section, Table
from digit_recognizer.report.page import check_out, pictures_in, write_page
from digit_recognizer.report.rendering import render
from digit_recognizer.report.sections.training import show_curves
from digit_recognizer.runs.environment import read_environment
from digit_recognizer.runs.history import read_history
from digit_recognizer.runs.metrics import read_metrics
from digit_recognizer.runs.run_folder import HISTORY, check_finished
from digit_recognizer.sources.numbers import NumberPictures


def write_numbers_report(
    run: str | Path,
    evaluation: NumberEvaluation,
    pictures: NumberPictures,
    *,
    source: str,
    out: str | Path | None = None,
) -> Path:
    """Write a page about a run: its result, training, the accuracy by length, and the worst pictures.

    Parameters
    ----------
    run
        A finished run folder.
    evaluation
        How its model reads the pictures.
    pictures
        Those that were read.
    source
        What they are called.
    out
        The folder for page and figures; the run folder if None.

    Raises
    ------
    DigitsError
        The run is unfinished or damaged, or a file cannot be written.
    """
    check_finished(Path(run))
    folder = Path(run) if out is None else check_out(Path(out))
    chapters = [
        _show_result(Path(run), evaluation, source),
        _show_training(Path(run)),
        _show_mistakes(evaluation, pictures),
    ]
    rendered = [render(picture.draw) for picture in pictures_in(chapters)]
    return write_page(folder, Path(run).resolve().name, chapters, rendered)


def _show_result(run: Path, evaluation: NumberEvaluation, source: str) -> Section:
    environment, metrics = read_environment(run), read_metrics(run)
    numbers = len(evaluation.numbers)
    values = accuracy_values(numbers, evaluation.errors)
    interval = percent_range(*values["accuracy_interval_95"])
    headline = Headline(
        percent(values["accuracy"]),
        f"of {count(numbers, 'number')} were read exactly. The 95 % confidence interval is {interval}; "
        f"{percent(evaluation.character_error_rate)} of the characters are wrong.",
    )
    facts = [
        ("Read", source),
        ("Training", f"{count(metrics.epochs, 'epoch')} in {seconds_in_words(metrics.seconds)}"),
        ("Data", f"{environment.data.source or 'arrays'}: {count(environment.data.images, 'picture')}"),
        ("Split", f"{metrics.training_images:,} for training, {environment.data.held_out:,} held out"),
        ("Parameters", f"{metrics.parameters:,}"),
        ("Seed", str(environment.seed)),
        ("Machine", str(environment.machine.get("processor", "–"))),
    ]
    return Section("result", "Result", "", [headline, Facts("About this run", facts)])


def _show_training(run: Path) -> Section:
    caption = (
        "Mean of the negative logarithm of the probability of a text, in nats, and fraction of numbers read "
        "exactly in the size that was chosen for each picture."
    )
    curves = show_curves(read_history(run / HISTORY), caption, "pictures")
    return Section("training", "Training", "", [curves])


def _show_mistakes(evaluation: NumberEvaluation, pictures: NumberPictures) -> Section:
    rows = [
        (str(length), f"{numbers:,}", f"{errors:,}", percent(1 - errors / numbers))
        for length, (numbers, errors) in evaluation.lengths.items()
    ]
    by_length = Table(
        "By length",
        "Numbers of so many characters, and how many of them were read exactly.",
        ("characters", "numbers", "errors", "exactly"),
        rows,
        frozenset({1, 2, 3}),
        wide=False,
    )
    return Section("mistakes", "Mistakes", "", [by_length, _worst(evaluation, pictures)])


def _worst(evaluation: NumberEvaluation, pictures: NumberPictures) -> Block:
    if not evaluation.worst:
        return Note("The worst", "All numbers were read exactly.")
    places = {file: row for row, file in enumerate(pictures.files)}
    worst = evaluation.worst
    return Picture(
        "worst",
        "The worst",
        "Those with the most wrong characters: what is written, and what was read.",
        f"Pictures of {count(len(worst), 'number')} that were misread.",
        partial(
            figures.draw_misread_numbers,
            [pictures.pictures[places[each.file]] for each in worst],
            [f"{each.label} read as {each.text or 'nothing'}" for each in worst],
        ),
    )
