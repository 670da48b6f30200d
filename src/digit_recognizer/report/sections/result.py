"""The result in one glance."""

from __future__ import annotations

import shlex

from digit_recognizer.report.blocks import Block, Command, Facts, Headline, Note, Section
from digit_recognizer.report.subject import Run, Study
from digit_recognizer.report.words import bytes_in_words, count, percent, seconds_in_words
from digit_recognizer.runs import run_folder


def show_result(study: Study) -> Section:
    """Say how good the run is, what it is, and how to get it again."""
    blocks: list[Block] = [_headline(study), Facts("What it is", _facts(study)), _command(study.run)]
    summary = study.run.recipe.summary
    return Section("result", "The result", summary[:1].upper() + summary[1:], blocks)


def _headline(study: Study) -> Block:
    evaluation = study.evaluation
    if evaluation is None:
        return Note("Accuracy", study.why_not_judged)
    low, high = evaluation.accuracy_interval
    return Headline(
        percent(evaluation.accuracy),
        f"of {study.judged_in_words(evaluation.images)} read rightly: {count(evaluation.errors, 'error')}. "
        f"The true rate probably lies between {percent(low)} and {percent(high)} (95 % interval).",
    )


def _facts(study: Study) -> list[tuple[str, str]]:
    run = study.run
    data, versions, machine = (run.environment.get(key, {}) for key in ("data", "versions", "machine"))
    trained, total = run.metrics["trained_parameters"], run.metrics["parameters"]
    of_them = "" if trained == total else f", {trained:,} of them trained"
    seconds = run.metrics["seconds"]
    shown = [] if study.is_own else [("Judged here", f"{study.source}: {count(len(study.digits), 'image')}")]
    return [
        ("Recipe", run.recipe.name),
        ("Training", f"{count(len(run.history), 'epoch')} in {seconds_in_words(seconds)}"),
        ("Parameters", f"{total:,}{of_them}"),
        ("Model", f"{run_folder.MODEL}, {bytes_in_words(run.model_bytes)}"),
        ("Data", f"{data.get('source') or 'arrays'}: {count(data.get('images', 0), 'image')}"),
        ("Split", f"{run.metrics['training_images']:,} to train on, {data.get('held_out', 0):,} held out"),
        ("Checksum", f"SHA-256 {data['sha256'][:16]}…"),
        ("Seed", str(run.environment["seed"])),
        ("Version", ", ".join(f"{name.replace('_', '-')} {number}" for name, number in versions.items())),
        ("Machine", f"{machine.get('processor', '–')}, {count(machine.get('threads', 0), 'thread')}"),
        ("Device, system", f"{machine.get('device', '–')}, {machine.get('platform', '–')}"),
        ("Begun", f"{run.environment.get('begun', '–')}".replace("T", " ")),
        *shown,
    ]


def _command(run: Run) -> Command:
    source = run.environment["data"]["source"] or "SOURCE"
    words = ["digits", "train", source, "--recipe", str(run.folder / run_folder.RECIPE)]
    return Command("The same again", shlex.join([*words, "--seed", str(run.environment["seed"])]))
