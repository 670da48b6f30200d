"""`digits train` with a recipe for pictures of whole numbers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from digit_recognizer.cli.numbers.source import check_same_pictures, is_numbers_run, named_source
from digit_recognizer.cli.options import refuse
from digit_recognizer.cli.terminal import as_argument, command_line


def learns_numbers(recipe: str | None, resume: Path | None) -> bool:
    """Return whether a command line trains on pictures of whole numbers."""
    from digit_recognizer.recipes import NumbersRecipe, load_any_recipe

    if resume is not None:
        return is_numbers_run(resume)
    return recipe is not None and isinstance(load_any_recipe(recipe), NumbersRecipe)


def refuse_for_numbers(*, folds: int | None, with_corrections: bool, report: bool) -> None:
    """Raise `DigitsError` for what a training on pictures of numbers does not have."""
    alone = "training on pictures of whole numbers has"
    refuse(
        (folds, f"{alone} no folds; remove --folds, or give rows the part validation"),
        (with_corrections, f"{alone} no corrections; remove --with-corrections"),
        (report, f"{alone} no report at its end; remove --report, and use 'digits report'"),
    )


def train_on_numbers(
    source: str | None,
    recipe: str | None,
    *,
    changes: list[str],
    out: Path | None,
    resume: Path | None,
    epochs: int | None,
    seed: int,
    device: str,
    skip_bad: bool,
    json: bool,
) -> None:
    """Train a run on pictures of numbers, or resume one, and show it."""
    from digit_recognizer.cli.events import Finished, Step
    from digit_recognizer.cli.inputs import absolute_source
    from digit_recognizer.cli.render import show_run, showing
    from digit_recognizer.recipes import NumbersRecipe, load_any_recipe
    from digit_recognizer.runs.environment import read_environment, record_source
    from digit_recognizer.runs.metrics import read_metrics
    from digit_recognizer.runs.run_folder import free_folder
    from digit_recognizer.sources.numbers import load_numbers

    loaded = None if recipe is None else load_any_recipe(recipe, changes)
    again = command_line("train", "--resume", as_argument(resume), "SOURCE") if resume else ""
    named = named_source(source, resume, again)
    with showing(as_json=json) as (show, stop):
        pictures = load_numbers(named, skip_bad=skip_bad).without_test()
        if resume is not None:
            check_same_pictures(read_environment(resume), pictures, resume, named)

        from digit_recognizer.training import numbers  # torch, which takes a second

        control: dict[str, Any] = {
            "device": device,
            "on_step": lambda progress: show(Step(progress)),
            "stop": stop,
        }
        if resume is not None:
            folder = resume
            records = numbers.resume_numbers(folder, pictures, epochs=epochs, **control)
            record_source(folder, absolute_source(named))
        else:
            assert isinstance(loaded, NumbersRecipe)  # see `learns_numbers`
            folder = out or free_folder(loaded.name)
            records = numbers.train_numbers(
                pictures, loaded, folder, seed=seed, source=absolute_source(named), **control
            )
        used, _, last = show_run(records, folder, pictures, show, stop, resume=folder)
        next_command = command_line("evaluate", as_argument(folder))
        show(Finished(folder, used, read_metrics(folder), next_command, last))
