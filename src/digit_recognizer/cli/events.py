"""What happens during a training, a cross-validation or a search, as events to show.

An event has two forms: ``__rich__`` is its text on a terminal or in a file, `as_json` its line of ``--json``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, fields
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from rich.text import Text

from digit_recognizer.formatting import (
    bytes_in_words,
    corrections_in_words,
    count,
    loss_in_words,
    model_in_words,
    network_in_words,
    percent,
    score_in_words,
    seconds_in_words,
    setting_in_words,
)

if TYPE_CHECKING:
    from digit_recognizer.recipes import NumbersRecipe, Recipe
    from digit_recognizer.runs.history import EpochRecord, Progress
    from digit_recognizer.runs.metrics import Metrics, Score
    from digit_recognizer.search.search import Trial
    from digit_recognizer.search.space import Range

NAME_COLUMNS = 12  # of the name in front of a result

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened."""

    name: ClassVar[str]

    def as_json(self) -> Json:
        """Return the event for ``--json``."""
        return {"event": self.name, **self._values()}

    def _values(self) -> Json:
        values = {each.name: getattr(self, each.name) for each in fields(self)}
        return {key: str(value) if isinstance(value, Path) else value for key, value in values.items()}

    def __rich__(self) -> str | Text:
        return ""


Show = Callable[[Event], None]


@dataclass(frozen=True, slots=True)
class SourceChosen(Event):
    """The user named no source, so this one is read."""

    name = "reading"
    source: str

    def __rich__(self) -> str:
        source = f"the current folder, {Path.cwd()}" if self.source == "." else self.source
        return f"No source named: reading {source}."


@dataclass(frozen=True, slots=True)
class Started(Event):
    """A run starts or resumes, on so many images, validation included; as a fold, it is one of several."""

    name = "begin"
    run: Path
    recipe: Recipe | NumbersRecipe
    images: int
    fold: tuple[int, int] = (1, 1)

    def _values(self) -> Json:
        return {"run": str(self.run), "recipe": self.recipe.name, "images": self.images}

    def __rich__(self) -> str:
        recipe, model = self.recipe, model_in_words(self.recipe)
        members = f"{recipe.members} members, each " if recipe.members > 1 else ""
        amount = f"{count(self.images, 'image')}, {members}at most {count(recipe.epochs, 'epoch')}"
        differing = f"\nEach epoch shows one network; the end shows the model: {model}." if model else ""
        return f"Training {recipe.name} on {amount}, in {self.run}.{differing}"


@dataclass(frozen=True, slots=True)
class CorrectionsChosen(Event):
    """The run learns from corrections, as its ``environment.json`` describes them."""

    name = "corrections"
    corrections: Json

    def _values(self) -> Json:
        return self.corrections

    def __rich__(self) -> str:
        values, left_out = self.corrections, self.corrections["left_out"]
        used = count(values["digits"] + values["others"], "correction")
        start = f", starting from {values['from']['run']}" if "from" in values else ""
        lines = [f"Learning from {used} in {values['file']}{start}."]
        if left_out["no_digit"]:
            number = f"{count(left_out['no_digit'], 'correction')} labelled as non-digit"
            lines.append(f"Left out: {number}; only a recipe with [outliers] learns non-digits.")
        if left_out["held_out"]:
            number = count(left_out["held_out"], "correction")
            lines.append(f"Left out: {number} of images that are held out for validation.")
        return "\n".join(lines)


@dataclass(frozen=True, slots=True)
class Step(Event):
    """A batch is done; only the live bar shows it."""

    progress: Progress


@dataclass(frozen=True, slots=True)
class EpochDone(Event):
    """An epoch is done, and its checkpoint saved."""

    name = "epoch"
    record: EpochRecord
    recipe: Recipe | NumbersRecipe

    def _values(self) -> Json:
        return asdict(self.record)

    def __rich__(self) -> str:
        record, recipe = self.record, self.recipe
        epochs_left = recipe.epochs * (recipe.members - record.member + 1) - record.epoch
        left = timedelta(seconds=round(epochs_left * record.seconds))
        return f"{epoch_line(record, recipe.members)}  {record.images_per_second:,.0f} images/s  {left} left"


@dataclass(frozen=True, slots=True)
class Stopped(Event):
    """A signal stopped a run or a cross-validation; the command `resume` resumes it."""

    name = "stopped"
    run: Path
    resume: str

    def __rich__(self) -> str:
        return f"Stopped. The checkpoint is in {self.run}. Resume with:\n  {self.resume}"


@dataclass(frozen=True, slots=True)
class Finished(Event):
    """A run is finished; `next` is the command to type next, `last` its last epoch."""

    name = "finished"
    run: Path
    recipe: Recipe | NumbersRecipe
    metrics: Metrics
    next: str
    last: EpochRecord | None = None

    def _values(self) -> Json:
        return {"run": str(self.run), **self.metrics.as_json(), "next": self.next}

    def __rich__(self) -> Text:
        metrics = self.metrics
        trained = f"{count(metrics.epochs, 'epoch')} in {seconds_in_words(metrics.seconds)}"
        validation = "none: the recipe holds no images out"
        if metrics.validation is not None:
            validation = ", ".join(filter(None, [metrics.validation.in_words(), model_in_words(self.recipe)]))
        elif self.recipe.split.validation:
            validation = "none: each digit has only one image"
        return _lines(
            Text(),
            _row("Run", f"{self.run}  ({trained})"),
            _row("Validation", validation, "bold green"),
            *self._last_epoch(),
            *(_row(*each) for each in corrections_in_words(metrics.corrections)),
            _row("Next", self.next, "cyan"),
        )

    def _last_epoch(self) -> list[Text]:
        """Return a line on the last epoch's accuracy, if the model's is another."""
        last, differs = self.last, model_in_words(self.recipe) and self.metrics.corrections is None
        if not differs or last is None or last.validation_accuracy is None:
            return []
        score = f"{percent(last.validation_accuracy)} ({count(last.validation_errors or 0, 'error')})"
        parts = [score, *network_in_words(self.recipe), "as in the last epoch's line"]
        return [_row("Network", ", ".join(parts))]


@dataclass(frozen=True, slots=True)
class FoldDone(Event):
    """The run of one fold, counted from 1, is finished and evaluated on the fold."""

    name = "fold"
    fold: int
    seconds: float
    score: Score

    def _values(self) -> Json:
        return {"fold": self.fold, "seconds": self.seconds, **self.score.as_json()}

    def __rich__(self) -> Text:
        return _row(f"Fold {self.fold}", self.score.in_words(), "bold green")


@dataclass(frozen=True, slots=True)
class CrossValidated(Event):
    """All folds are done; `plan` is the content of ``folds.json``."""

    name = "cross-validated"
    folder: Path
    plan: Json

    def _values(self) -> Json:
        return {"folder": str(self.folder), **self.plan}

    def __rich__(self) -> Text:
        accuracies = [result["accuracy"] for result in self.plan["results"]]
        rate = self.plan.get("character_error_rate")  # of numbers
        score = score_in_words(self.plan["images"], self.plan["errors"], rate)
        bounds = f"{percent(min(accuracies))} to {percent(max(accuracies))}"
        deviation = f"standard deviation {100 * self.plan['standard_deviation']:.2f} points"
        trained = f"{len(accuracies)} runs in {seconds_in_words(self.plan['seconds'])}"
        return _lines(
            Text(),
            _row("Folds", f"{self.folder}  ({trained})"),
            _row("All images" if rate is None else "All numbers", score, "bold green"),
            _row("Spread", f"{bounds} between the folds, {deviation}"),
        )


@dataclass(frozen=True, slots=True)
class SearchStarted(Event):
    """A search starts or resumes; `trials` includes those that the study has `completed` already."""

    name = "searching"
    study: Path
    trials: int
    ranges: Sequence[Range]
    completed: int

    def _values(self) -> Json:
        ranges = [asdict(each) for each in self.ranges]
        values = {"study": str(self.study), "trials": self.trials, "completed": self.completed}
        return {**values, "ranges": ranges}

    def __rich__(self) -> str:
        bounds = [(each.key, *map(setting_in_words, (each.low, each.high))) for each in self.ranges]
        ranges = [f"  {key:<28}{low} to {high}" for key, low, high in bounds]
        done = f", {self.completed:,} of them done" if self.completed else ""
        return "\n".join([f"Searching in {self.study}, {count(self.trials, 'trial')} in all{done}:", *ranges])


@dataclass(frozen=True, slots=True)
class TrialDone(Event):
    """A trial of a search is over."""

    name = "trial"
    trial: Trial

    def _values(self) -> Json:
        return asdict(self.trial)

    def __rich__(self) -> str:
        trial = self.trial
        result = "given up" if trial.errors is None else count(trial.errors, "error")
        best = "  (best so far)" if trial.is_best else ""
        settings = "  ".join(f"{key}={setting_in_words(value, 4)}" for key, value in trial.settings.items())
        return f"trial {trial.number:>3}  {result:>12} after {count(trial.epochs, 'epoch')}{best}  {settings}"


@dataclass(frozen=True, slots=True)
class SearchStopped(Event):
    """A signal stopped a search; the command `resume` resumes it."""

    name = "stopped"
    study: Path
    resume: str

    def __rich__(self) -> str:
        return f"Stopped. The study is in {self.study}. Resume with:\n  {self.resume}"


@dataclass(frozen=True, slots=True)
class Searched(Event):
    """A search is over; `best` is the best recipe, None if all trials failed; `next` trains it."""

    name = "searched"
    best: Path | None
    next: str

    def __rich__(self) -> str | Text:
        if self.best is None:
            return "No trial was completed."
        return _lines(_row("Best", str(self.best)), _row("Next", self.next, "cyan"))


@dataclass(frozen=True, slots=True)
class ReportWritten(Event):
    """A report was written in so many seconds."""

    name = "report"
    page: Path
    seconds: float

    def __rich__(self) -> Text:
        written = f"  ({bytes_in_words(self.page.stat().st_size)} in {seconds_in_words(self.seconds)}"
        return Text.assemble(_row("Report", str(self.page), "cyan"), f"{written}; figures beside it)")


def epoch_line(record: EpochRecord, members: int) -> str:
    """Return what an epoch reached, on the training and the validation images."""
    member = f"member {record.member:>2}  " if members > 1 else ""
    reached = f"loss {loss_in_words(record.loss)}  accuracy {percent(record.accuracy)}"
    if record.validation_accuracy is not None:
        errors = count(record.validation_errors or 0, "error")
        reached += f"  validation {percent(record.validation_accuracy)} ({errors})"
    return f"{member}epoch {record.epoch:>3}  {reached}"


def _row(name: str, value: str, style: str = "") -> Text:
    return Text.assemble((f"{name:<{NAME_COLUMNS}}", "bold"), (value, style))


def _lines(*lines: Text) -> Text:
    return Text("\n").join(lines)
