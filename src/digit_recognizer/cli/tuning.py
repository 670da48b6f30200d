"""A search for settings as the command line sees it."""

from __future__ import annotations

import sys
from pathlib import Path

import typer

from digit_recognizer.cli import INTERRUPTED
from digit_recognizer.cli.session import choose_source, command_line, session
from digit_recognizer.sources import load_digits


def search_settings(
    recipe: str,
    source: str | None,
    settings: list[str],
    searched: list[str] | None,
    folder: Path | None,
    *,
    trials: int,
    seed: int,
    device: str,
    as_json: bool,
) -> None:
    """Run trials until there are as many as asked for, and show each."""
    from digit_recognizer.recipes import load_recipe
    from digit_recognizer.search.search import choose_ranges, tune
    from digit_recognizer.search.space import parse_ranges
    from digit_recognizer.search.study import BEST

    loaded = load_recipe(recipe, settings)
    folder = folder or Path("runs") / f"tune-{loaded.name}"
    with session(as_json=as_json) as (reporter, stop):
        found = choose_source(source, reporter)
        digits = load_digits(found, "train")
        named = None if searched is None else parse_ranges(searched)
        fixed = {setting.partition("=")[0].strip() for setting in settings}
        chosen = choose_ranges(digits, loaded, named, fixed=fixed, seed=seed)
        done = tune(
            digits,
            loaded,
            folder,
            trials=trials,
            ranges=chosen,
            seed=seed,
            device=device,
            on_step=reporter.step,
            stop=stop,
        )
        reporter.searching(folder, trials, chosen)
        for trial in done:
            reporter.trial(trial)
        reporter.close()
        if stop.is_set():
            reporter.search_stopped(folder, command_line(*sys.argv[1:]))
            raise typer.Exit(INTERRUPTED)
        best = folder / BEST
        reporter.searched(
            best if best.exists() else None, command_line("train", found, "--recipe", str(best))
        )
