"""`digits train` with a recipe for pictures of whole numbers."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import Any

from digit_recognizer.cli.numbers.source import check_same_pictures, is_numbers_run, named_source
from digit_recognizer.cli.options import EngineName, open_task_engine, refuse
from digit_recognizer.cli.terminal import as_argument, command_line

NOT_DIVIDED = "--engine ray trains the folds of --folds at the same time; remove it, or add --folds"


def learns_numbers(recipe: str | None, run: Path | None) -> bool:
    """Return whether a command line trains on pictures of whole numbers; `run` is resumed or started from."""
    from digit_recognizer.recipes import NumbersRecipe, load_any_recipe

    if run is not None:
        return is_numbers_run(run)
    return recipe is not None and isinstance(load_any_recipe(recipe), NumbersRecipe)


def refuse_for_numbers(*, with_corrections: bool) -> None:
    """Raise `DigitsError` for what a training on pictures of numbers does not have."""
    refuse(
        (
            with_corrections,
            "training on pictures of whole numbers learns from pictures only; remove --with-corrections, and "
            "train on the folder that 'digits corrections export FOLDER' writes",
        )
    )


def train_on_numbers(
    source: str | None,
    recipe: str | None,
    *,
    changes: list[str],
    out: Path | None,
    resume: Path | None,
    folds: int | None,
    epochs: int | None,
    seed: int,
    device: str,
    skip_bad: bool,
    report: bool,
    json: bool,
    engine: EngineName,
) -> None:
    """Train a run or a cross-validation on pictures of numbers, or resume one, and show it."""
    from digit_recognizer.cli.events import Finished, Step
    from digit_recognizer.cli.inputs import absolute_source
    from digit_recognizer.cli.render import show_folds, show_run, showing
    from digit_recognizer.cli.report import report_numbers
    from digit_recognizer.recipes import NumbersRecipe, load_any_recipe
    from digit_recognizer.runs.environment import record_source
    from digit_recognizer.runs.metrics import read_metrics
    from digit_recognizer.runs.run_folder import RECIPE, free_folder, is_cross_validation
    from digit_recognizer.sources.numbers import load_numbers

    resumes_folds = resume is not None and is_cross_validation(resume)
    loaded = load_any_recipe(resume / RECIPE if resume else str(recipe), changes)
    assert isinstance(loaded, NumbersRecipe)  # see `learns_numbers`
    folder = resume or out or free_folder(f"{loaded.name}-folds" if folds else loaded.name)
    again = command_line("train", "--resume", as_argument(resume), "SOURCE") if resume else ""
    named = named_source(source, resume, again)
    refuse((engine is EngineName.RAY and not (folds or resumes_folds), NOT_DIVIDED))
    with showing(as_json=json) as (show, stop), ExitStack() as stack:
        pictures = load_numbers(named, skip_bad=skip_bad).without_test()
        if resume is not None:
            check_same_pictures(resume, pictures, named)

        from digit_recognizer import training  # torch, which takes a second
        from digit_recognizer.training import numbers

        new: dict[str, Any] = {"seed": seed, "source": absolute_source(named)}
        control: dict[str, Any] = {
            "device": device,
            "on_step": lambda progress: show(Step(progress)),
            "stop": stop,
        }
        if folds or resumes_folds:
            control["engine"] = stack.enter_context(open_task_engine(engine, device))
        if resumes_folds:
            runs = training.resume_folds(folder, pictures, **control)
        elif folds:
            runs = training.cross_validate(pictures, loaded, folder, folds=folds, **new, **control)
        elif resume:
            records = numbers.resume_numbers(folder, pictures, epochs=epochs, **control)
        else:
            records = numbers.train_numbers(pictures, loaded, folder, **new, **control)
        if resume:
            record_source(folder, new["source"])
        if folds or resumes_folds:
            show_folds(runs, folder, pictures, show, stop)
            return
        used, _, last = show_run(records, folder, pictures, show, stop, resume=folder)
        next_command = command_line("evaluate", as_argument(folder))
        show(Finished(folder, used, read_metrics(folder), next_command, last))
    if report:
        report_numbers(folder, named, as_json=json)
