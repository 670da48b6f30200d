"""The network's inside: filters, feature maps, where it looks, what excites it, how it sorts digits."""

from __future__ import annotations

import re
from collections.abc import Iterator
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from digit_recognizer.digits import CLASSES
from digit_recognizer.errors import DigitsError
from digit_recognizer.evaluation import most_confident_errors
from digit_recognizer.explain.activations import Activations, open_activations, read_filters
from digit_recognizer.explain.occlusion import occlude
from digit_recognizer.report import figures
from digit_recognizer.report.blocks import Block, Note, Picture, Section
from digit_recognizer.report.projection import project
from digit_recognizer.report.subject import Study
from digit_recognizer.report.words import count, percent
from digit_recognizer.runs import run_folder

CHANNELS, EXCITING = 8, 10  # channels shown with the images that excite them, and how many of these
KERNELS = 32  # shown of each filter of the second convolution
LOOKED_AT = 1_500  # images among which the exciting ones are sought
MAPPED = 1_200  # images on the map of the last hidden layer, besides the errors
SALIENT = 10  # images with a map of where the network looks, right and wrong each
DIGIT = 7  # whose feature maps are shown where nothing is said

NO_CONVOLUTION = "This network has no convolution to show, so there are no filters and no feature maps."


@dataclass(frozen=True, slots=True)
class Choice:
    """What to show of a network's inside.

    Attributes
    ----------
    filters
        How many filters of the second convolution, at least 1.
    filter
        Which filter of the first convolution to enlarge, counted from 0.
    digit
        Whose feature maps to show: 0 to 9; 7, or what there is, if None.
    index
        The row of the image to show instead, counted from 0 in its source.
    """

    filters: int = 8
    filter: int = 0
    digit: int | None = None
    index: int | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Inside:
    """A run's model, opened to look into it, and what was chosen of it.

    Attributes
    ----------
    study, choice, activations
        What the section is about.
    row
        In the source, of the image to follow through the network.
    """

    study: Study
    choice: Choice
    activations: Activations
    row: int


@dataclass(frozen=True, slots=True, eq=False)
class Layout:
    """A map of the last hidden layer.

    Attributes
    ----------
    chosen
        int64 (K,): the images on it, of the judged ones.
    points
        float32 (K, 2).
    method
        What laid them out.
    width
        How many values of each image it was given.
    """

    chosen: NDArray[np.int64]
    points: NDArray[np.float32]
    method: str
    width: int


def open_inside(study: Study, choice: Choice) -> Inside:
    """Open a run's model to look into it.

    Raises
    ------
    DigitsError
        There is no such filter, digit or row; the model is damaged.
    """
    activations = open_activations(study.run.folder / run_folder.MODEL)
    row = _chosen_row(study, choice)
    if activations.convolutions:
        first = activations.convolutions[0]
        filters = len(read_filters(study.run.folder, first))
        if not 0 <= choice.filter < filters:
            raise DigitsError(
                f"{first.name} has no filter {choice.filter}: choose --filter from 0 to {filters - 1}"
            )
    return Inside(study, choice, activations, row)


def lay_out(inside: Inside) -> Layout | None:
    """Lay images out by their values in the last hidden layer; None where there is none, or no evaluation.

    It takes as long as drawing does, without Python: call it in a thread of its own.
    """
    study, activations = inside.study, inside.activations
    if activations.hidden is None or study.evaluation is None:
        return None
    wrong = np.flatnonzero(study.predictions.labels != study.labels)
    some = np.random.default_rng(0).permutation(len(study.predictions))[:MAPPED]
    chosen = np.union1d(some, wrong[:MAPPED])
    values = activations.hidden_values(study.judged.images[chosen])
    points, method = project(values, seed=study.run.environment["seed"] % 2**32)
    return Layout(chosen, points, method, values.shape[1])


def show_inside(inside: Inside, layout: Future[Layout | None]) -> Section:
    """Show what the network has learned to look for, and what it makes of digits."""
    study, activations = inside.study, inside.activations
    blocks: list[Block] = []
    if activations.convolutions:
        blocks += _filters(study, activations, inside.choice, inside.row)
        blocks += _feature_maps(study, activations, inside.row)
    else:
        blocks.append(Note("Filters and feature maps", NO_CONVOLUTION))
    blocks += _saliency(study)
    blocks += _exciting(study, activations)
    blocks.append(_map(inside, layout.result()))
    lead = "What it looks for, what it makes of an image, where it looks, and how it sorts digits in the end."
    return Section("inside", "Inside the network", lead, blocks)


def _chosen_row(study: Study, choice: Choice) -> int:
    """Return the row in the source of the image to follow through the network."""
    if choice.index is not None:
        if not 0 <= choice.index < len(study.digits):
            last = len(study.digits) - 1
            raise DigitsError(f"{study.source} has no row {choice.index}: choose --index from 0 to {last}")
        return choice.index
    rows = study.judged_rows if len(study.judged_rows) else study.training_rows
    if study.digits.labels is None:
        if choice.digit is not None:
            raise DigitsError(
                f"{study.source} has no labels: choose an image with --index instead of --digit"
            )
        return int(rows[0])
    digit = DIGIT if choice.digit is None else choice.digit
    found = rows[study.digits.labels[rows] == digit]
    if not len(found) and choice.digit is not None:
        raise DigitsError(f"{study.source} has no image of a {digit} to show: choose another --digit")
    return int(found[0] if len(found) else rows[0])


def _filters(study: Study, activations: Activations, choice: Choice, row: int) -> Iterator[Block]:
    first, *rest = activations.convolutions
    weights = read_filters(study.run.folder, first)
    size = " × ".join(map(str, weights.shape[2:]))
    if weights.shape[1] == 1:
        yield Picture(
            "filters-first",
            f"All filters of {first.name}",
            f"{count(len(weights), 'filter')} of {size} weights, without units; counted from 0, row by row. "
            "Orange is above zero and answers to ink, purple below and answers to its absence; a trained "
            "filter often looks like an edge or a stroke of one direction.",
            f"A grid of {len(weights)} small patterns in orange and purple: the filters of {first.name}.",
            partial(figures.draw_filters, weights[:, 0]),
        )
        image = study.digits.images[row]
        yield Picture(
            "filter",
            f"Filter {choice.filter} of {first.name}, enlarged",
            f"Its weights, the image of row {row:,}, and the feature map that it makes of it: bright where "
            "the image fits the filter.",
            "The weights of one filter as a grid, a handwritten digit, and the filter's feature map of it.",
            partial(
                figures.draw_filter,
                weights[choice.filter, 0],
                image,
                activations.feature_maps(image[None], first)[0, choice.filter],
            ),
        )
    else:
        yield Note(
            f"All filters of {first.name}", "They take several inputs each and are no single pictures."
        )
    if not rest:
        yield Note("Filters of the second convolution", "There is one convolution only.")
        return
    kernels = read_filters(study.run.folder, rest[0])
    shown = kernels[: choice.filters, :KERNELS]
    some = f" The first {KERNELS} of them are shown." if kernels.shape[1] > KERNELS else ""
    yield Picture(
        "filters-second",
        f"The first {len(shown)} of the {len(kernels)} filters of {rest[0].name}",
        f"Each is a stack of {kernels.shape[1]} kernels of {' × '.join(map(str, kernels.shape[2:]))} "
        f"weights, one for each channel of {first.name}, so it answers to combinations of those.{some}",
        f"Grids of small patterns in orange and purple, one grid for each of {len(shown)} filters.",
        partial(figures.draw_slices, shown),
    )


def _feature_maps(study: Study, activations: Activations, row: int) -> Iterator[Block]:
    image = study.digits.images[row]
    label = study.digits.labels
    what = f"the image of row {row:,}" + (f", a {label[row]}" if label is not None else "")
    answer = study.recognizer.predict(image[None])
    read = f"read as {answer.labels[0]} with {percent(answer.confidence[0], 1)}"
    for layer in activations.convolutions:
        maps = activations.feature_maps(image[None], layer)[0]
        silent = int((maps.max(axis=(1, 2)) <= 0).sum())
        remark = f" Silent for this image: {silent}." if silent else ""
        roots = " of square roots" if maps.min() >= 0 else ""
        yield Picture(
            f"feature-maps-{_file_name(layer.name)}",
            f"Feature maps of {layer.name}",
            f"What its {len(maps)} filters make of {what} ({read}): {' × '.join(map(str, maps.shape[1:]))} "
            f"pixels each, after the activation, without units, all on one scale{roots}.{remark}",
            f"A grid of {len(maps)} feature maps of a handwritten digit.",
            partial(figures.draw_feature_maps, maps),
        )


def _file_name(name: str) -> str:
    """Return a layer's name as part of a file's."""
    return re.sub("[^a-z0-9]+", "-", name.lower())


def _saliency(study: Study) -> Iterator[Block]:
    title = "Where it looks"
    if study.evaluation is None:
        yield Note(title, study.why_not_judged)
        return
    labels, answers = study.labels, study.predictions.labels
    right = [np.flatnonzero((labels == digit) & (answers == digit))[:1] for digit in range(CLASSES)]
    wrong = most_confident_errors(study.predictions, labels)[:SALIENT]
    how = (
        "Each part of the image is hidden in turn behind a square of 6 × 6 pixels of background. Orange: "
        "there, the log-odds of the answer fall by so many nats (the ink speaks for the answer); purple: "
        "they rise (it speaks against it)."
    )
    yield from _saliency_picture(study, np.concatenate(right), "right", f"{title}: right answers", how)
    if not len(wrong):
        yield Note(f"{title}: wrong answers", "There is none: every answer was right.")
        return
    said = f"{how} The answer is the wrong one here: orange is what speaks for it."
    yield from _saliency_picture(study, wrong, "wrong", f"{title}: the most confident wrong answers", said)


def _saliency_picture(
    study: Study, rows: NDArray[np.int64], name: str, title: str, caption: str
) -> Iterator[Block]:
    if not len(rows):
        yield Note(title, "There is none.")
        return
    images, labels, answers = study.judged.images[rows], study.labels[rows], study.predictions.labels[rows]
    maps = [occlude(study.recognizer, image, answer) for image, answer in zip(images, answers, strict=True)]
    titles = [
        f"a {label}" if label == answer else f"a {label}, read as {answer}"
        for label, answer in zip(labels, answers, strict=True)
    ]
    yield Picture(
        f"saliency-{name}",
        title,
        caption,
        f"{count(len(rows), 'handwritten digit')}, coloured by how much each part matters for the answer.",
        partial(figures.draw_saliency, images, np.stack(maps), titles),
    )


def _exciting(study: Study, activations: Activations) -> Iterator[Block]:
    if not activations.convolutions:
        yield Note("What excites a channel", NO_CONVOLUTION)
        return
    ends = dict.fromkeys([activations.convolutions[0], activations.convolutions[-1]])
    rows = _some_rows(study, LOOKED_AT)
    images = study.digits.images[rows]
    for name, peaks in activations.peaks(images, list(ends)).items():
        awake = np.flatnonzero(peaks.max(axis=0) > 0)[:CHANNELS]
        if not len(awake):
            yield Note(f"What excites the channels of {name}", "No image excites any of them.")
            continue
        best = np.argsort(-peaks[:, awake], axis=0, kind="stable")[:EXCITING].T  # (channels, images)
        yield Picture(
            f"exciting-{_file_name(name)}",
            f"What excites the channels of {name}",
            f"For each of {len(awake)} channels the {best.shape[1]} images, of "
            f"{count(len(images), 'image')}, in which its highest activation is highest, the strongest "
            "first.",
            f"Rows of handwritten digits: a row for each channel of {name}, the images that excite it most.",
            partial(figures.draw_exciting_images, images[best], awake.tolist()),
        )


def _map(inside: Inside, layout: Layout | None) -> Block:
    study, title = inside.study, "How the last hidden layer sorts the digits"
    if inside.activations.hidden is None:
        return Note(
            title, "The network does not end in a dense layer, so there is no layer before it to map."
        )
    if layout is None:
        return Note(title, study.why_not_judged)
    labels, chosen = study.labels, layout.chosen
    wrong = study.predictions.labels != labels
    return Picture(
        "map",
        title,
        f"{count(len(chosen), 'image')} as {layout.method} lays out the {layout.width:,} values that the "
        "last layer takes: near each other means alike to the network; the axes have no units. Colours and "
        "numbers are the digits shown, rings are wrong answers.",
        f"A map of points coloured by digit, with {count(int(wrong.sum()), 'wrong answer')} ringed.",
        partial(figures.draw_map, layout.points, labels[chosen], wrong[chosen]),
    )


def _some_rows(study: Study, most: int) -> NDArray[np.int64]:
    """Return rows of the source drawn at random, of the judged ones where there are any."""
    rows = study.judged_rows if len(study.judged_rows) else study.training_rows
    return np.random.default_rng(0).permutation(rows)[:most]
