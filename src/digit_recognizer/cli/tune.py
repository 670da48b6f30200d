"""`digits tune`: a search for better settings."""

from __future__ import annotations

import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated

import typer

from digit_recognizer.cli.interrupts import INTERRUPTED
from digit_recognizer.cli.options import (
    RUNS,
    BatchSize,
    Device,
    EngineName,
    EngineOption,
    Epochs,
    Json,
    LearningRate,
    RecipeArgument,
    Settings,
    SkipBad,
    Source,
    all_settings,
    open_task_engine,
    setting_key,
    whole,
)
from digit_recognizer.cli.terminal import command_line, require
from digit_recognizer.files import check_can_create
from digit_recognizer.machine import check_device


def tune(
    recipe: RecipeArgument,
    source: Source = None,
    epochs: Epochs = None,
    batch_size: BatchSize = None,
    learning_rate: LearningRate = None,
    settings: Settings = None,
    trials: Annotated[
        int,
        typer.Option(
            parser=whole(1), metavar="N", help="The number of trials, including those of earlier searches."
        ),
    ] = 20,
    search: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KEY=LOW..HIGH",
            help="Search this setting; whole numbers search whole numbers. Repeatable.  "
            r"\[default: ranges around the recipe's values, except those of --set]",
        ),
    ] = None,
    seed: Annotated[
        int,
        typer.Option(
            parser=whole(0), metavar="N", help="Determines the split, the first weights and the search."
        ),
    ] = 0,
    device: Device = "auto",
    skip_bad: SkipBad = False,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", "-o", help=r"The folder of the study, new or existing.  \[default: runs/tune-<recipe>]"
        ),
    ] = None,
    engine: EngineOption = EngineName.LOCAL,
    json: Json = False,
) -> None:
    """Search for better settings of a recipe.

    The best settings are written to best.toml. The same command resumes a search.
    """
    changes = all_settings(settings, epochs, batch_size, learning_rate)
    require("torch", "optuna", "sqlalchemy", *(["ray"] if engine is EngineName.RAY else []))
    check_device(device)
    check_can_create(out or RUNS)

    from digit_recognizer.cli.events import Searched, SearchStarted, SearchStopped, Step, TrialDone
    from digit_recognizer.cli.inputs import choose_source, load
    from digit_recognizer.cli.render import showing
    from digit_recognizer.recipes import load_recipe
    from digit_recognizer.search.space import (
        check_holds_out,
        check_ranges,
        check_study_folder,
        parse_ranges,
    )

    loaded = load_recipe(recipe, changes)
    folder = out or RUNS / f"tune-{loaded.name}"
    named = None if search is None else parse_ranges(search)
    fixed = {setting_key(change) for change in changes}
    check_study_folder(folder)
    check_holds_out(loaded)
    check_ranges(loaded, named or [], fixed)
    with showing(as_json=json) as (show, stop), ExitStack() as stack:
        found = choose_source(source, show)
        digits = load(found, skip_bad=skip_bad)

        from digit_recognizer.search import search as searching
        from digit_recognizer.search.study import BEST, count_completed

        ranges = searching.choose_ranges(digits, loaded, named, fixed=fixed, seed=seed)
        done = searching.tune(
            digits,
            loaded,
            folder,
            trials=trials,
            ranges=ranges,
            seed=seed,
            device=device,
            on_step=lambda progress: show(Step(progress)),
            stop=stop,
            engine=stack.enter_context(open_task_engine(engine, device)),
        )
        show(SearchStarted(folder, trials, ranges, count_completed(folder)))
        for trial in done:
            show(TrialDone(trial))
        if stop.is_set():
            show(SearchStopped(folder, command_line(*sys.argv[1:])))
            raise typer.Exit(INTERRUPTED)
        best = folder / BEST
        command = command_line("train", found, "--recipe", str(best))
        show(Searched(best if best.exists() else None, command))
