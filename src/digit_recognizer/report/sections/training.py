"""The training: loss, accuracy and learning rate of each epoch."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np

from digit_recognizer.formatting import count, loss_in_words, percent, seconds_in_words
from digit_recognizer.report import figures
from digit_recognizer.report.blocks import Facts, Picture, Section
from digit_recognizer.runs.history import EpochRecord
from digit_recognizer.runs.run import Run

CURVES = ("loss", "accuracy", "validation_loss", "validation_accuracy", "learning_rate")


def show_training(run: Run) -> Section:
    """Show loss, accuracy and learning rate of each epoch."""
    is_validated = run.history[-1].validation_accuracy is not None
    best = _best_epoch(run)
    curves = show_curves(
        run.history, _caption(run, is_validated=is_validated), best=best, stopped=_stopped_early(run)
    )
    facts = Facts("Last epoch and speed", _facts(run), wide=False)
    return Section("training", "Training", _lead(run, best), [curves, facts])


def show_curves(
    history: Sequence[EpochRecord],
    caption: str,
    learned_from: str = "images",
    *,
    best: int | None = None,
    stopped: bool = False,
) -> Picture:
    """Draw loss, accuracy and learning rate of each epoch."""
    columns = {name: np.array([getattr(record, name) for record in history], np.float64) for name in CURVES}
    is_validated = history[-1].validation_accuracy is not None
    loss, accuracy = columns["loss"], columns["accuracy"]
    return Picture(
        "training",
        "Loss, accuracy and learning rate",
        caption,
        f"Curves over {count(len(history), 'epoch')}: on the training {learned_from}, the loss changes from "
        f"{loss_in_words(loss[0])} to {loss_in_words(loss[-1])} nats, the accuracy from "
        f"{percent(accuracy[0])} to {percent(accuracy[-1])}.",
        partial(
            figures.draw_curves,
            loss,
            accuracy,
            columns["validation_loss"] if is_validated else None,
            columns["validation_accuracy"] if is_validated else None,
            columns["learning_rate"],
            best=best,
            stopped=stopped,
        ),
    )


def _best_epoch(run: Run) -> int | None:
    """Return the first epoch with the highest validation accuracy, from 1; None without validation."""
    accuracies = [record.validation_accuracy for record in run.history]
    known = [accuracy for accuracy in accuracies if accuracy is not None]
    return accuracies.index(max(known)) + 1 if known else None


def _stopped_early(run: Run) -> bool:
    return run.recipe.stopping is not None and len(run.history) < run.recipe.epochs * run.recipe.members


def _lead(run: Run, best: int | None) -> str:
    epochs, limit = len(run.history), run.recipe.epochs
    stopping, members = run.recipe.stopping, run.history[-1].member
    if members > 1:
        return (
            f"{members} networks were trained one after another, {count(epochs, 'epoch')} in total. "
            "The model averages their probabilities."
        )
    if epochs >= limit:
        end = f"Training ran to the end of the recipe: {count(epochs, 'epoch')}."
    elif stopping is not None:
        monitor = stopping.monitor.replace("_", " ")
        end = (
            f"Training stopped early, after {epochs:,} of at most {count(limit, 'epoch')}: the {monitor} "
            f"did not improve for {count(stopping.patience, 'epoch')}."
        )
    else:
        end = f"Training was stopped by hand after {epochs:,} of {count(limit, 'epoch')}."
    if best is None:
        return f"{end} No images were held out, so only values for the training images are known."
    if best == epochs:
        return f"{end} The last epoch is the best on the validation images."
    return f"{end} Epoch {best} is the best on the validation images; the model is that of the last epoch."


def _caption(run: Run, *, is_validated: bool) -> str:
    sentences = [
        "Mean cross-entropy in nats, accuracy in percent, and learning rate of each epoch. All scales are "
        "logarithmic; the accuracy is scaled by its distance from 100 %."
    ]
    if is_validated:
        harder = _active_while_training(run)
        if harder:
            sentences.append(
                f"Training (blue) is measured during the epoch, with {' and '.join(harder)}, and may "
                "therefore look worse than validation (orange)."
            )
        sentences.append("If training keeps improving but validation does not, the network overfits.")
    if run.history[-1].member > 1:
        sentences.append("The epochs of the networks follow one another.")
    if len(run.history) == 1:
        sentences.append("With only one epoch, each curve is a point.")
    return " ".join(sentences)


def _active_while_training(run: Run) -> list[str]:
    """Return what makes the training images harder to read than the validation images."""
    layers = [
        layer for network in run.recipe.architectures if not isinstance(network, str) for layer in network
    ]
    harder = [] if run.recipe.augmentation is None else ["augmentation"]
    return [*harder, "dropout"] if any(layer.startswith("dropout") for layer in layers) else harder


def _facts(run: Run) -> list[tuple[str, str]]:
    last, epochs = run.history[-1], len(run.history)
    facts = [("Training", f"loss {loss_in_words(last.loss)} nats, accuracy {percent(last.accuracy)}")]
    if last.validation_loss is not None and last.validation_accuracy is not None:
        values = (
            f"loss {loss_in_words(last.validation_loss)} nats, accuracy {percent(last.validation_accuracy)}"
        )
        facts.append(("Validation", values))
    images_per_second = np.median([record.images_per_second for record in run.history])
    return [
        *facts,
        ("Time per epoch", seconds_in_words(sum(record.seconds for record in run.history) / epochs)),
        ("Speed", f"{images_per_second:,.0f} images per second"),
    ]
