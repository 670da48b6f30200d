"""Digits + Recipe ► a run folder, as a generator of one record an epoch; never prints.

Every random draw (first weights, order of the images, augmentation, dropout) depends on the seed, the epoch
and the step alone, so a run that is resumed on the same machine ends with the same weights, to the bit.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Generator
from contextlib import ExitStack
from functools import partial
from math import ceil, isfinite
from pathlib import Path
from threading import Event

import numpy as np
from filelock import FileLock
from torch import Tensor
from torch.nn.functional import cross_entropy

from digit_recognizer.corrections import load_corrections
from digit_recognizer.digits import CLASSES, SIDE, Digits
from digit_recognizer.errors import DigitsError
from digit_recognizer.files import remove_partial_files, write_json, write_text
from digit_recognizer.networks.onnx_export import export_onnx
from digit_recognizer.networks.predictor import Predictor
from digit_recognizer.recipes.recipe import Recipe, as_recipe
from digit_recognizer.runs import run_folder
from digit_recognizer.runs.history import EpochRecord, Progress, history_to_csv
from digit_recognizer.training.checkpoint import Position, save_tensors
from digit_recognizer.training.data import Pool, make_pool, prepare
from digit_recognizer.training.device import choose_device, keep_freed_memory, limit_threads
from digit_recognizer.training.distillation import choose_parts, recorded
from digit_recognizer.training.finetune import (
    Settled,
    choose_corrections,
    describe_corrections,
    pool_of,
    settle,
)
from digit_recognizer.training.metrics import metrics_of, tensors_of, validate
from digit_recognizer.training.precision import autocast, describe_arithmetic, with_precision
from digit_recognizer.training.randomness import batches_of, draws_from
from digit_recognizer.training.schedule import learning_rate
from digit_recognizer.training.splits import (
    Fold,
    Parts,
    describe_environment,
    lock_folder,
    make_folder,
    read_parts,
)
from digit_recognizer.training.state import Job, new_job, saved_job

PROBE_IMAGES = 64  # on which model.onnx is compared with the network


class DivergedError(DigitsError):
    """The loss is no longer a number."""


OnStep = Callable[[Progress], None]


def train(
    digits: Digits,
    recipe: Recipe | str | Path,
    folder: str | Path | None = None,
    *,
    seed: int = 0,
    device: str = "auto",
    source: str = "",
    fold: Fold | None = None,
    on_step: OnStep | None = None,
    stop: Event | None = None,
) -> Generator[EpochRecord]:
    """Train a network and write a run folder.

    The folder is made at once; the training happens while the records are taken. Whoever stops taking
    them (and closes or drops the generator) gets the run finished with what there is, unless `stop` is set.

    Parameters
    ----------
    digits
        With labels: at least two images of each digit, and as many as a batch.
    recipe
        A recipe, its name, or a TOML file.
    folder
        The run folder to make, which must not exist or be empty; ``runs/<time>-<recipe>`` if None.
    seed
        Decides split, first weights, order, augmentation and dropout; at least 0.
    device
        ``cpu``, ``cuda``, ``cuda:1`` …, or ``auto``: a GPU where torch finds one.
    source
        Where the digits came from, for the run's environment.
    fold
        In cross-validation, the part that is held out and judged by at the end.
    on_step
        Called after each step.
    stop
        Once set, the training saves a checkpoint behind the current step and ends unfinished.

    Returns
    -------
    generator of EpochRecord
        It gives each epoch's record once its checkpoint is saved.

    Raises
    ------
    DigitsError
        The digits cannot be trained on, the folder is taken, a file cannot be written, or the loss is no
        longer a number.
    """
    recipe = as_recipe(recipe)
    hardware = choose_device(device)
    limit_threads()
    arithmetic = describe_arithmetic(recipe, hardware)
    recipe = with_precision(recipe, hardware)
    parts = choose_parts(digits, recipe, seed, fold)
    chosen = choose_corrections(recipe, digits, parts)
    target = run_folder.free_folder(recipe.name) if folder is None else Path(folder)
    job = new_job(target, recipe, seed, hardware)  # a network that does not fit leaves no folder behind
    environment = describe_environment(digits, parts, seed, hardware, source)
    environment["arithmetic"] = arithmetic
    if chosen is not None:
        environment["corrections"] = describe_corrections(recipe, chosen)
        job.corrections = pool_of(chosen.samples, hardware)
    make_folder(
        target, recorded(recipe, parts, target), environment, parts, chosen.samples if chosen else None
    )
    return _run(job, lock_folder(target), digits, parts, on_step, stop)


def resume(
    folder: str | Path,
    digits: Digits,
    *,
    epochs: int | None = None,
    device: str = "auto",
    on_step: OnStep | None = None,
    stop: Event | None = None,
) -> Generator[EpochRecord]:
    """Go on with a run where its last checkpoint was saved; what is not said here is as in `train`.

    Parameters
    ----------
    folder
        The run folder.
    digits
        The same as when the run was begun.
    epochs
        Train up to this many instead of the recipe's, also if the run was finished.

    Raises
    ------
    DigitsError
        No run folder, or a damaged one; other digits than the run was begun with; it is finished; another
        process trains in it; and `train`'s.
    """
    target = Path(folder)
    environment = run_folder.read_environment(target)
    if environment["data"]["sha256"] != digits.sha256():
        raise DigitsError(
            f"{target} was begun with other digits: resume it with those from "
            f"{environment['data']['source'] or 'where they came from'}"
        )
    with ExitStack() as stack:
        lock = lock_folder(target)
        stack.callback(lock.release)
        remove_partial_files(target)
        parts = read_parts(target, len(digits))
        limit_threads()
        job = saved_job(target, environment["seed"], choose_device(device), epochs)
        if job.recipe.corrections is not None:
            job.corrections = pool_of(load_corrections(target / run_folder.CORRECTIONS), job.device)
        stack.pop_all()  # from here on the generator holds the lock
    return _run(job, lock, digits, parts, on_step, stop)


def _run(
    job: Job,
    lock: FileLock,
    digits: Digits,
    parts: Parts,
    on_step: OnStep | None,
    stop: Event | None,
) -> Generator[EpochRecord]:
    """Train member by member and epoch by epoch until the end, an early stop, or `stop`."""
    keep_freed_memory()
    training, validation = digits[parts.training], digits[parts.validation]
    images, labels = tensors_of(training, job.device)
    pool = make_pool(job.recipe, images, labels, job.seed, job.teacher)
    try:
        while not job.is_over:
            if job.is_member_over:
                job.begin_next_member()
            _train_epoch(job, images, labels, pool, on_step, stop)
            if stop is not None and stop.is_set():
                job.save()
                return
            record = _close_epoch(job, validation)
            job.save()
            try:
                yield record
            except GeneratorExit:
                if stop is not None and stop.is_set():
                    raise
                break
        settled = None
        if job.corrections is not None:
            settled = settle(job, validation, partial(_train_quietly, job, images, labels, pool, stop))
            if stop is not None and stop.is_set():
                return
        _finish(job, digits, parts, settled)
    except DivergedError:
        if not (job.folder / run_folder.CHECKPOINT).exists():  # leave the name to the next try
            shutil.rmtree(job.folder, ignore_errors=True)
        raise
    finally:
        lock.release()


def _train_quietly(
    job: Job, images: Tensor, labels: Tensor, pool: Pool | None, stop: Event | None, corrections: Pool
) -> Predictor:
    """Train as in a job from its beginning, with other corrections and no trace in its folder."""
    other = new_job(job.folder, job.recipe, job.seed, job.device)
    other.corrections = corrections
    nothing = Digits(np.empty((0, SIDE, SIDE), np.uint8), np.empty(0, np.int64))
    while not other.is_over and not (stop is not None and stop.is_set()):
        if other.is_member_over:
            other.begin_next_member(save=False)
        _train_epoch(other, images, labels, pool, None, stop)
        if other.position.step:
            _close_epoch(other, nothing)
    return other.predictor


def _train_epoch(
    job: Job,
    images: Tensor,
    labels: Tensor,
    pool: Pool | None,
    on_step: OnStep | None,
    stop: Event | None,
) -> None:
    """Train on what is left of the epoch at work, or until `stop` is set."""
    recipe, position = job.recipe, job.position
    job.network.train()
    epoch, member = job.epoch, position.member
    batches = batches_of(len(images), recipe.batch_size, job.seed, epoch, member)
    if recipe.corrections is not None and recipe.start:
        batches = batches[: ceil(recipe.corrections.images / recipe.batch_size)]
    total = sum(map(len, batches))
    started = time.perf_counter() - position.seconds
    for rows in batches[position.step :]:
        for group in job.optimizer.param_groups:
            group["lr"] = _learning_rate(job, position.step, len(batches))
        with draws_from(job.seed, epoch, position.step + 1, member):
            loss, right = _train_step(job, images[rows], labels[rows], pool)
        _must_be_finite(loss, job)
        position.step += 1
        position.images += len(rows)
        position.loss_sum += loss * len(rows)
        position.right += right
        position.seconds = time.perf_counter() - started
        if on_step is not None:
            on_step(_progress(job, total))
        if stop is not None and stop.is_set():
            return


def _learning_rate(job: Job, step: int, steps: int) -> float:
    """Return the learning rate of a step, counted from 0, of the epoch at work, which has so many."""
    recipe, history = job.recipe, job.history
    share = (len(history) + (step + 0.5) / steps) / recipe.epochs
    return learning_rate(recipe.schedule, recipe.optimizer.learning_rate, history, share)


def _must_be_finite(loss: float, job: Job) -> None:
    if not isfinite(loss):
        rate = job.recipe.optimizer.learning_rate
        raise DivergedError(
            f"the loss is no longer a number in epoch {job.epoch}: lower the learning rate, such as with "
            f"--set optimizer.learning_rate={rate / 10:g}"
        )


def _train_step(job: Job, images: Tensor, labels: Tensor, pool: Pool | None) -> tuple[float, int]:
    """Change the weights once; return the cross-entropy and the right answers of the digits before that."""
    recipe = job.recipe
    batch = prepare(images, labels, recipe, job.teacher, pool, job.corrections)
    with autocast(recipe, job.device):
        logits = job.network(batch.inputs).float()  # (B, 10 or 11)
    digits = logits[: len(labels)]
    entropy = cross_entropy(digits, labels)
    loss = entropy
    if recipe.label_smoothing or batch.targets is not labels:
        loss = cross_entropy(logits, batch.targets, label_smoothing=recipe.label_smoothing)
    job.optimizer.zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]
    job.optimizer.step()
    return entropy.item(), int((digits[:, :CLASSES].argmax(1) == labels).sum())


def _close_epoch(job: Job, validation: Digits) -> EpochRecord:
    """Validate, add the epoch's record to the history, and stand at the beginning of the next one."""
    position = job.position
    started = time.perf_counter()
    loss, errors = validate(job.network, validation, job.device)
    _must_be_finite(loss or 0.0, job)
    record = EpochRecord(
        epoch=job.epoch,
        learning_rate=_learning_rate(job, 0, position.step),
        loss=position.loss_sum / position.images,
        accuracy=position.right / position.images,
        validation_loss=loss,
        validation_accuracy=None if errors is None else 1 - errors / len(validation),
        validation_errors=errors,
        seconds=position.seconds + time.perf_counter() - started,
        images_per_second=position.images / position.seconds,
        member=position.member,
    )
    job.position = Position([*position.history, record], member=position.member)
    return record


def _finish(job: Job, digits: Digits, parts: Parts, settled: Settled | None) -> None:
    """Write weights, model and, as the sign that the run is whole, metrics."""
    folder = job.folder
    predictor = job.predictor if settled is None else settled.predictor
    state = dict(predictor.network.state_dict())
    write_text(folder / run_folder.HISTORY, history_to_csv(job.position.history))  # a kill may have lost it
    save_tensors(folder / run_folder.WEIGHTS, state, {"recipe": job.recipe.name})
    probe = digits.images[parts.training[:PROBE_IMAGES]]
    held_out = len(digits) - len(parts.training)
    trained_on = run_folder.read_environment(folder)["data"]["sha256"]
    model = folder / run_folder.MODEL
    export_onnx(predictor, model, probe, job.recipe.name, trained_on=trained_on, held_out=held_out)
    metrics = metrics_of(job, predictor, digits, parts)
    if settled is not None:
        metrics["corrections"] = settled.metrics
    write_json(folder / run_folder.METRICS, metrics)
    job.forget_members()


def _progress(job: Job, total: int) -> Progress:
    position = job.position
    return Progress(
        epoch=len(position.history) + 1,
        epochs=job.recipe.epochs * job.recipe.members,
        images=position.images,
        total=total,
        loss=position.loss_sum / position.images,
        images_per_second=position.images / position.seconds,
    )
