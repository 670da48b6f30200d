"""`digits train`: a run, a cross-validation, or one of these resumed."""

from __future__ import annotations

from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from digit_recognizer.cli.numbers.train import learns_numbers, refuse_for_numbers, train_on_numbers
from digit_recognizer.cli.options import (
    DEFAULT_RECIPE,
    BatchSize,
    CorrectionsFile,
    Device,
    EngineName,
    EngineOption,
    Epochs,
    Json,
    LearningRate,
    Settings,
    SkipBad,
    Source,
    all_settings,
    as_typed,
    complete_recipe,
    complete_run,
    corrections_option,
    open_task_engine,
    output_option,
    refuse,
    setting_key,
    whole,
)
from digit_recognizer.cli.terminal import as_argument, command_line, require
from digit_recognizer.errors import DigitsError
from digit_recognizer.machine import check_device
from digit_recognizer.runs.run_folder import RECIPE, is_cross_validation

if TYPE_CHECKING:
    from digit_recognizer.cli.events import Finished, Show
    from digit_recognizer.recipes import NumbersRecipe, Recipe
    from digit_recognizer.runs.environment import Environment
    from digit_recognizer.runs.history import EpochRecord
    from digit_recognizer.runs.metrics import Metrics

_folder_option = partial(typer.Option, rich_help_panel="Run folder")


def train(
    source: Source = None,
    recipe: Annotated[
        str | None,
        typer.Option(
            "--recipe",
            "-r",
            help=rf"A name from 'digits recipes', or a .toml file.  \[default: {DEFAULT_RECIPE}]",
            autocompletion=complete_recipe,
        ),
    ] = None,
    epochs: Epochs = None,
    batch_size: BatchSize = None,
    learning_rate: LearningRate = None,
    settings: Settings = None,
    seed: Annotated[
        int | None,
        typer.Option(parser=whole(0), metavar="N", help=r"Determines all random draws.  \[default: 0]"),
    ] = None,
    device: Device = "auto",
    skip_bad: SkipBad = False,
    folds: Annotated[
        int | None, typer.Option(parser=whole(2), metavar="N", help="Number of cross-validation folds.")
    ] = None,
    out: Annotated[
        Path | None,
        _folder_option("--out", "-o", help=r"The run folder to create.  \[default: runs/<time>-<recipe>]"),
    ] = None,
    resume: Annotated[
        Path | None,
        _folder_option(
            metavar="RUN",
            help="Resume this run after the last completed step. If its digits have moved, also name SOURCE.",
            autocompletion=complete_run,
        ),
    ] = None,
    with_corrections: Annotated[
        bool,
        corrections_option("--with-corrections", help="Also train on the corrections made on the page."),
    ] = False,
    start: Annotated[
        Path | None,
        corrections_option(
            "--from",
            metavar="RUN",
            help="Fine-tune this finished run, which takes seconds. Its recipe, split and source are kept.",
            autocompletion=complete_run,
        ),
    ] = None,
    corrections_file: CorrectionsFile = None,
    engine: EngineOption = EngineName.LOCAL,
    report: Annotated[
        bool, output_option("--report", help="Write report.html into the run folder at the end.")
    ] = False,
    json: Json = False,
) -> None:
    """Train a network and write a run folder."""
    changes = all_settings(settings, epochs, batch_size, learning_rate)
    typed = as_typed(settings, epochs, batch_size, learning_rate)
    resumes_folds = resume is not None and is_cross_validation(resume)
    refuse(
        (
            report and (folds or resumes_folds),
            "--report needs a single run; use 'digits report RUN' for a fold",
        ),
        (start and not with_corrections, "--from requires --with-corrections"),
        (corrections_file and not with_corrections, "--corrections-file requires --with-corrections"),
        (with_corrections and folds, "--with-corrections trains a single run; remove --folds"),
        (with_corrections and resume, "--with-corrections starts a new run; remove --resume"),
        (
            with_corrections and "corrections.file" in map(setting_key, changes),
            "--with-corrections reads the file named by --corrections-file; remove --set corrections.file",
        ),
        (
            start and recipe,
            f"--from keeps the recipe of {start}; remove --recipe, or change the recipe with --set",
        ),
        (
            resume and (recipe or out or folds or seed is not None),
            "--resume keeps the run's recipe, seed, folds and folder; "
            "remove --recipe, --seed, --folds and --out",
        ),
        (
            resumes_folds and changes,
            f"a cross-validation is resumed with the recipe that it was started with; remove {typed}, or "
            f"start another one with it: {command_line('train', '--folds', 'N')}",
        ),
    )
    new_epochs = _epochs_in(changes, typed) if resume else None
    require("torch", *(["ray"] if engine is EngineName.RAY else []))
    check_device(device)

    from digit_recognizer.cli.inputs import absolute_source, check_digits_of_run, check_folders, load

    check_folders(out, resume, start, new_epochs)

    if learns_numbers(recipe, resume or start):
        refuse_for_numbers(with_corrections=with_corrections)
        train_on_numbers(
            source,
            recipe,
            changes=changes,
            out=out,
            resume=resume,
            folds=folds,
            epochs=new_epochs,
            seed=seed or 0,
            device=device,
            skip_bad=skip_bad,
            report=report,
            json=json,
            engine=engine,
        )
        return

    from digit_recognizer.cli.events import Step
    from digit_recognizer.cli.render import show_folds, show_run, showing
    from digit_recognizer.cli.report import report_run
    from digit_recognizer.runs.environment import record_source
    from digit_recognizer.runs.run_folder import free_folder

    if resume is None:
        loaded = _load_recipe(recipe, changes, corrections_file, start, with_corrections=with_corrections)
        folder = out or free_folder(f"{loaded.name}-folds" if folds else loaded.name)
    else:
        folder = resume
    with showing(as_json=json) as (show, stop), ExitStack() as stack:
        named = _choose_source(source, resume, start, show)
        digits = load(named, skip_bad=skip_bad)
        if resume is not None:
            check_digits_of_run(resume, digits, named)

        from digit_recognizer import training  # torch, which takes a second: only if all is well so far

        new: dict[str, Any] = {"seed": seed or 0, "source": absolute_source(named)}
        divided = [] if folds or resumes_folds else [resume / RECIPE if resume else loaded]
        control: dict[str, Any] = {
            "device": device,
            "on_step": lambda progress: show(Step(progress)),
            "stop": stop,
            "engine": stack.enter_context(open_task_engine(engine, device, *divided)),
        }
        if folds or resumes_folds:
            if folds is None:
                runs = training.resume_folds(folder, digits, **control)
                record_source(folder, new["source"])
            else:
                runs = training.cross_validate(digits, loaded, folder, folds=folds, **new, **control)
            show_folds(runs, folder, digits, show, stop)
        else:
            if resume:
                records = training.resume(folder, digits, epochs=new_epochs, **control)
                record_source(folder, new["source"])
            else:
                records = training.train(digits, loaded, folder, **new, **control)
            used, environment, last = show_run(
                records, folder, digits, show, stop, resume=folder, shows_corrections=not resume
            )
            show(_finished(folder, used, environment, last))
    if report:
        report_run(folder, digits, named, as_json=json)


def _epochs_in(changes: list[str], typed: str) -> int | None:
    """Return the number of epochs, the only setting that ``--resume`` changes."""
    if not changes:
        return None
    key, _, value = changes[-1].partition("=")
    if len(changes) > 1 or key.strip() != "epochs" or not value.strip().isdecimal():
        raise DigitsError(f"--resume changes only the epochs, such as --epochs 40; got {typed}")
    return int(value)


def _load_recipe(
    name: str | None,
    changes: list[str],
    corrections_file: Path | None,
    start: Path | None,
    *,
    with_corrections: bool,
) -> Recipe:
    """Return the recipe of a new run."""
    from digit_recognizer.recipes import load_recipe

    if not with_corrections:
        return load_recipe(name or DEFAULT_RECIPE, changes)

    from digit_recognizer import training
    from digit_recognizer.corrections import corrections_path

    corrections = corrections_path(corrections_file)
    if start is not None:
        return training.fine_tuning(start, corrections, changes)
    return training.with_corrections(load_recipe(name or DEFAULT_RECIPE, changes), corrections)


def _choose_source(source: str | None, resume: Path | None, start: Path | None, show: Show) -> str:
    """Return the source named, or that of the run to resume or to start from, or the one that is found."""
    from digit_recognizer.cli.inputs import check_not_moved, choose_source, source_or_default
    from digit_recognizer.runs.environment import recorded_source
    from digit_recognizer.runs.run_folder import holds_training

    if source is not None and holds_training(Path(source)):
        raise DigitsError(
            f"{source} is a run folder, not a source of digits; to resume it, use --resume {source}"
        )
    run = resume or start
    if run is None:
        return choose_source(source, show)
    recorded = recorded_source(run)
    if source is None:
        option = "--resume" if resume else "--from"
        check_not_moved(recorded, command_line("train", option, as_argument(run), "SOURCE"))
    return source_or_default(source, recorded)


def _finished(
    folder: Path, recipe: Recipe | NumbersRecipe, environment: Environment, last: EpochRecord | None
) -> Finished:
    from digit_recognizer.cli.events import Finished
    from digit_recognizer.runs.metrics import read_metrics

    metrics = read_metrics(folder)
    return Finished(folder, recipe, metrics, _next_command(folder, environment, metrics), last)


def _next_command(folder: Path, environment: Environment, metrics: Metrics) -> str:
    """Return what to type after a training: a submission if there is something to submit."""
    from digit_recognizer.cli.inputs import relative_source
    from digit_recognizer.sources import has_test_csv

    source = relative_source(environment.data.source)
    if has_test_csv(source):
        return command_line("submit", as_argument(folder), source, "-o", "submission.csv")
    return command_line("report" if metrics.validation is None else "evaluate", as_argument(folder))
