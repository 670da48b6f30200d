"""The training: its curves over the epochs."""

from __future__ import annotations

from functools import partial

import numpy as np

from digit_recognizer.report import figures
from digit_recognizer.report.blocks import Facts, Picture, Section
from digit_recognizer.report.subject import Run
from digit_recognizer.report.words import count, percent, seconds_in_words


def show_training(run: Run) -> Section:
    """Show loss, accuracy and learning rate over the epochs."""
    validated = run.history[-1].validation_accuracy is not None
    columns = {
        name: np.array([getattr(record, name) for record in run.history], np.float64)
        for name in ("loss", "accuracy", "validation_loss", "validation_accuracy", "learning_rate")
    }
    best = best_epoch(run)
    stopped = run.recipe.stopping is not None and len(run.history) < run.recipe.epochs * run.recipe.members
    curves = Picture(
        "training",
        "Loss, accuracy and learning rate",
        _caption(run, validated=validated),
        f"Curves over {count(len(run.history), 'epoch')}: the loss goes from {columns['loss'][0]:.3f} to "
        f"{columns['loss'][-1]:.3f} nats, the accuracy from {percent(columns['accuracy'][0])} to "
        f"{percent(columns['accuracy'][-1])} on the training images.",
        partial(
            figures.draw_curves,
            columns["loss"],
            columns["accuracy"],
            columns["validation_loss"] if validated else None,
            columns["validation_accuracy"] if validated else None,
            columns["learning_rate"],
            best=best,
            stopped=stopped,
        ),
    )
    return Section(
        "training", "The training", _lead(run, best), [curves, Facts("In figures", _facts(run), wide=False)]
    )


def best_epoch(run: Run) -> int | None:
    """Return the first epoch with the highest validation accuracy, from 1; None without validation."""
    accuracies = [record.validation_accuracy for record in run.history]
    known = [accuracy for accuracy in accuracies if accuracy is not None]
    return accuracies.index(max(known)) + 1 if known else None


def _lead(run: Run, best: int | None) -> str:
    epochs, most = len(run.history), run.recipe.epochs
    stopping, members = run.recipe.stopping, run.history[-1].member
    if members > 1:
        return (
            f"{members} networks were trained one after the other, {epochs} epochs in all; "
            "the model averages their probabilities."
        )
    if epochs >= most:
        ending = f"It went on for as long as the recipe asks: {count(epochs, 'epoch')}."
    elif stopping is not None:
        monitor = stopping.monitor.replace("_", " ")
        ending = (
            f"It was stopped early, after {epochs} of at most {most} epochs: the {monitor} had made no "
            f"progress for {stopping.patience}."
        )
    else:
        ending = f"It was ended after {epochs} of {most} epochs."
    if best is None:
        return f"{ending} No images were held out, so only the training images can be followed."
    if best == epochs:
        return f"{ending} The last epoch is the best one on the validation images."
    return (
        f"{ending} The best epoch on the validation images was number {best}; the model is that of the last."
    )


def _caption(run: Run, *, validated: bool) -> str:
    words = [
        "Mean cross-entropy in nats, share of right answers, and the learning rate, by epoch. All scales are "
        "logarithmic, that of the accuracy in its distance to 100 %."
    ]
    if validated:
        easier = [] if run.recipe.augmentation is None else ["augmentation"]
        lines = [
            line for network in run.recipe.architectures if not isinstance(network, str) for line in network
        ]
        easier += ["dropout"] if any(line.startswith("dropout") for line in lines) else []
        if easier:
            words.append(
                f"Training (blue) is measured on the way and with {' and '.join(easier)}, so it may look "
                "worse than validation (orange)."
            )
        words.append("Where training still improves and validation does not, the network overfits.")
    if run.history[-1].member > 1:
        words.append("The members' epochs stand one behind the other.")
    if len(run.history) == 1:
        words.append("There was one epoch only, so each curve is a point.")
    return " ".join(words)


def _facts(run: Run) -> list[tuple[str, str]]:
    last, epochs = run.history[-1], len(run.history)
    rows = [
        ("Last epoch, training", f"loss {last.loss:.4f} nats, accuracy {percent(last.accuracy)}"),
        ("An epoch takes", seconds_in_words(sum(record.seconds for record in run.history) / epochs)),
        ("Speed", f"{np.median([record.images_per_second for record in run.history]):,.0f} images a second"),
    ]
    if last.validation_loss is not None and last.validation_accuracy is not None:
        words = f"loss {last.validation_loss:.4f} nats, accuracy {percent(last.validation_accuracy)}"
        rows.insert(1, ("Last epoch, validation", words))
    return rows
