"""The result of a run, what the run is, and how to repeat it."""

from __future__ import annotations

import shlex

from digit_recognizer.formatting import bytes_in_words, count, percent, percent_range, seconds_in_words
from digit_recognizer.report.blocks import Block, Command, Facts, Headline, Note, Section
from digit_recognizer.report.subject import Subject
from digit_recognizer.runs.run import Run
from digit_recognizer.runs.run_folder import MODEL, RECIPE


def show_result(subject: Subject) -> Section:
    """Show the accuracy of a run, facts about it, and the command that repeats it."""
    blocks: list[Block] = [
        _headline(subject),
        *_warning(subject.run),
        Facts("About this run", _facts(subject)),
        _command(subject.run),
    ]
    summary = subject.run.recipe.summary
    return Section("result", "Result", summary[:1].upper() + summary[1:], blocks)


def _headline(subject: Subject) -> Block:
    evaluation = subject.evaluation
    if evaluation is None:
        return Note("Accuracy", subject.why_not_evaluated)
    were = "was" if evaluation.images == 1 else "were"
    return Headline(
        percent(evaluation.accuracy),
        f"of {subject.name_images(evaluation.images)} {were} read correctly: "
        f"{count(evaluation.errors, 'error')}. "
        f"The 95 % confidence interval of the accuracy is {percent_range(*evaluation.accuracy_interval)}.",
    )


def _warning(run: Run) -> list[Block]:
    warning = run.metrics.warning
    return [] if warning is None else [Note("Warning", f"{warning[:1].upper()}{warning[1:]}.", wide=True)]


def _facts(subject: Subject) -> list[tuple[str, str]]:
    run = subject.run
    environment, metrics = run.environment, run.metrics
    data, versions, machine = environment.data, environment.versions, environment.machine
    trained, total = metrics.trained_parameters, metrics.parameters
    trainable = "" if trained == total else f", {trained:,} of them trained"
    facts = [
        ("Recipe", run.recipe.name),
        ("Training", f"{count(len(run.history), 'epoch')} in {seconds_in_words(metrics.seconds)}"),
        ("Parameters", f"{total:,}{trainable}"),
        ("Model", f"{MODEL}, {bytes_in_words(run.model_bytes)}"),
        ("Data", f"{data.source or 'arrays'}: {count(data.images, 'image')}"),
        ("Split", f"{metrics.training_images:,} for training, {data.held_out:,} held out"),
        ("Checksum", f"SHA-256 {data.sha256[:16]}…"),
        ("Seed", str(environment.seed)),
        ("Versions", ", ".join(f"{name.replace('_', '-')} {number}" for name, number in versions.items())),
        ("Machine", f"{machine.get('processor', '–')}, {count(int(machine.get('threads', 0)), 'thread')}"),
        ("Device and system", f"{machine.get('device', '–')}, {machine.get('platform', '–')}"),
        ("Started", environment.begun.replace("T", " ") or "–"),
    ]
    if not subject.is_own:
        facts.append(("Evaluated on", f"{subject.source}: {count(len(subject.digits), 'image')}"))
    return facts


def _command(run: Run) -> Command:
    source = run.environment.data.source or "SOURCE"
    words = ["digits", "train", source, "--recipe", str(run.folder / RECIPE)]
    return Command("Repeat this run", shlex.join([*words, "--seed", str(run.environment.seed)]))
