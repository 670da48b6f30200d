"""Inside the network: filters, feature maps, saliency, what activates channels, and the last hidden layer."""

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
from digit_recognizer.explain.activations import Activations, Convolution, open_activations, read_filters
from digit_recognizer.explain.occlusion import WINDOW_PX, occlude
from digit_recognizer.formatting import count, percent
from digit_recognizer.report import figures
from digit_recognizer.report.blocks import Block, Note, Picture, Section
from digit_recognizer.report.projection import project
from digit_recognizer.report.subject import Subject
from digit_recognizer.runs.run_folder import MODEL

DEFAULT_DIGIT = 7  # whose feature maps are shown
MAX_KERNELS = 32  # shown of each filter of the second convolution
SALIENCY_IMAGES = 10  # at most, for correct and wrong answers each
SHOWN_CHANNELS = 8  # of a layer, each with the images that activate it most
IMAGES_PER_CHANNEL = 10
SEARCHED_IMAGES = 1_500  # among which the images that activate a channel most are searched
MAPPED_IMAGES = 1_200  # on the map of the last hidden layer, in addition to the errors

NO_CONVOLUTION = "This network has no convolutions, so there are no filters or feature maps."
LEAD = "What the filters respond to, how an image passes the layers, and which parts of it decide the answer."


@dataclass(frozen=True, slots=True)
class Choice:
    """What to show of the inside of a network.

    Attributes
    ----------
    filters
        How many filters of the second convolution, at least 1.
    filter
        Which filter of the first convolution to enlarge, counted from 0.
    digit
        The digit whose feature maps to show, 0 to 9. If None, it is 7 if there is one.
    index
        The row of the image to show instead, counted from 0 in its source.
    """

    filters: int = 8
    filter: int = 0
    digit: int | None = None
    index: int | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Inside:
    """A run's model with its hidden values, and what to show of them."""

    subject: Subject
    choice: Choice
    activations: Activations
    row: int  # in the source, of the image that is followed through the network

    @property
    def image(self) -> NDArray[np.uint8]:
        """The image that is followed through the network: uint8 (28, 28)."""
        image: NDArray[np.uint8] = self.subject.digits.images[self.row]
        return image


@dataclass(frozen=True, slots=True, eq=False)
class Layout:
    """A map of images by their values in the last hidden layer."""

    chosen: NDArray[np.int64]  # (K,): which of the evaluated images
    points: NDArray[np.float32]  # (K, 2)
    method: str
    width: int  # number of values in the hidden layer


def open_inside(subject: Subject, choice: Choice) -> Inside:
    """Open a run's model; raise `DigitsError` if it is damaged or if the choice does not exist."""
    activations = open_activations(subject.run.folder / MODEL)
    row = _choose_row(subject, choice)
    if activations.convolutions:
        first = activations.convolutions[0]
        filters = len(read_filters(subject.run.folder, first))
        if not 0 <= choice.filter < filters:
            raise DigitsError(
                f"{first.name} has no filter {choice.filter}: choose --filter from 0 to {filters - 1}"
            )
    return Inside(subject, choice, activations, row)


def _choose_row(subject: Subject, choice: Choice) -> int:
    """Return the row in the source of the image to follow through the network."""
    digits, rows = subject.digits, subject.sample_rows
    if choice.index is not None:
        if not 0 <= choice.index < len(digits):
            last = len(digits) - 1
            raise DigitsError(f"{subject.source} has no row {choice.index}: choose --index from 0 to {last}")
        return choice.index
    if digits.labels is None:
        if choice.digit is not None:
            raise DigitsError(f"{subject.source} has no labels: use --index instead of --digit")
        return int(rows[0])
    found = rows[digits.labels[rows] == (DEFAULT_DIGIT if choice.digit is None else choice.digit)]
    if not len(found) and choice.digit is not None:
        raise DigitsError(f"{subject.source} has no image of a {choice.digit}: choose another --digit")
    return int(found[0] if len(found) else rows[0])


def map_hidden_layer(inside: Inside) -> Layout | None:
    """Lay out images by their values in the last hidden layer; None without such a layer or an evaluation.

    This takes about as long as drawing all figures, mostly outside of Python: run it in a thread.
    """
    subject, activations = inside.subject, inside.activations
    if activations.hidden is None or subject.evaluation is None:
        return None
    wrong = np.flatnonzero(subject.wrong)
    sample = np.random.default_rng(0).permutation(len(subject.predictions))[:MAPPED_IMAGES]
    chosen = np.union1d(sample, wrong[:MAPPED_IMAGES])
    values = activations.hidden_values(subject.evaluated.images[chosen])
    points, method = project(values, seed=subject.run.environment.seed % 2**32)
    return Layout(chosen, points, method, values.shape[1])


def show_inside(inside: Inside, layout: Future[Layout | None]) -> Section:
    """Show what the network has learned and how it processes images."""
    blocks: list[Block] = []
    if inside.activations.convolutions:
        blocks += [*_first_filters(inside), _second_filters(inside), *_feature_maps(inside)]
    else:
        blocks.append(Note("Filters and feature maps", NO_CONVOLUTION))
    blocks += [*_saliency(inside.subject), *_strongest_images(inside), _map(inside, layout.result())]
    return Section("inside", "Inside the network", LEAD, blocks)


def _first_filters(inside: Inside) -> Iterator[Block]:
    first, number = inside.activations.convolutions[0], inside.choice.filter
    filters = read_filters(inside.subject.run.folder, first)  # (C, I, H, W)
    title = f"Filters of {first.name}"
    if filters.shape[1] > 1:
        yield Note(title, "Each filter has several input channels and cannot be shown as a single picture.")
        return
    yield Picture(
        "filters-first",
        title,
        f"{count(len(filters), 'filter')} with {_size(filters)} weights each, counted from 0, row by row. "
        "Weights above zero (orange) respond to ink, weights below zero (purple) to its absence. Trained "
        "filters often resemble edges or strokes of one direction.",
        f"A grid of {len(filters)} small patterns in orange and purple: the filters of {first.name}.",
        partial(figures.draw_filters, filters[:, 0]),
    )
    response = inside.activations.feature_maps(inside.image[None], first)[0, number]
    yield Picture(
        "filter",
        f"Filter {number} of {first.name}, enlarged",
        f"The weights of the filter, the image in row {inside.row}, and the resulting feature map: bright "
        "where the image matches the filter.",
        "The weights of a filter as a grid, a handwritten digit, and the resulting feature map.",
        partial(figures.draw_filter, filters[number, 0], inside.image, response),
    )


def _second_filters(inside: Inside) -> Block:
    first, *others = inside.activations.convolutions
    if not others:
        return Note("Filters of the second convolution", "The network has only one convolution.")
    filters = read_filters(inside.subject.run.folder, others[0])  # (C, I, H, W)
    shown = filters[: inside.choice.filters, :MAX_KERNELS]
    omitted = f" The first {MAX_KERNELS} are shown." if filters.shape[1] > MAX_KERNELS else ""
    return Picture(
        "filters-second",
        f"The first {len(shown)} of {count(len(filters), 'filter')} of {others[0].name}",
        f"Each filter has {filters.shape[1]} kernels of {_size(filters)} weights, one for each channel of "
        f"{first.name}, and responds to combinations of these channels.{omitted}",
        f"Grids of small patterns in orange and purple, one grid for each of {len(shown)} filters.",
        partial(figures.draw_slices, shown),
    )


def _size(filters: NDArray[np.float32]) -> str:
    return " × ".join(map(str, filters.shape[2:]))


def _feature_maps(inside: Inside) -> Iterator[Block]:
    answer, labels = inside.subject.recognizer.predict(inside.image[None]), inside.subject.digits.labels
    label = "" if labels is None else f"label {labels[inside.row]}, "
    read = f"read as {answer.labels[0]} with {percent(answer.confidence[0], 1)} confidence"
    for layer in inside.activations.convolutions:
        maps = inside.activations.feature_maps(inside.image[None], layer)[0]  # (C, H, W)
        inactive = int((maps.max(axis=(1, 2)) <= 0).sum())
        have = "has" if inactive == 1 else "have"
        remark = f" {count(inactive, 'map')} {have} no activation." if inactive else ""
        scale = "square-root scale" if maps.min() >= 0 else "scale"
        yield Picture(
            f"feature-maps-{_file_name(layer)}",
            f"Feature maps of {layer.name}",
            f"Output of the {len(maps)} filters for the image in row {inside.row} ({label}{read}): "
            f"{' × '.join(map(str, maps.shape[1:]))} pixels each, after the activation function, on a common "
            f"{scale}.{remark}",
            f"A grid of {len(maps)} feature maps of a handwritten digit.",
            partial(figures.draw_feature_maps, maps),
        )


def _file_name(layer: Convolution) -> str:
    """Return the name of a layer as a part of a file name."""
    return re.sub("[^a-z0-9]+", "-", layer.name.lower())


def _saliency(subject: Subject) -> Iterator[Block]:
    if subject.evaluation is None:
        yield Note("Saliency", subject.why_not_evaluated)
        return
    labels, wrong = subject.labels, subject.wrong
    correct = [np.flatnonzero((labels == digit) & ~wrong)[:1] for digit in range(CLASSES)]
    errors = most_confident_errors(subject.predictions, labels)[:SALIENCY_IMAGES]
    caption = (
        f"A square of {WINDOW_PX} × {WINDOW_PX} background pixels hides each part of the image in turn. "
        "Orange: hiding this part lowers the log-odds of the answer, so its ink supports the answer. Purple: "
        "hiding it raises them, so its ink contradicts the answer."
    )
    yield _saliency_block(subject, np.concatenate(correct), "right", "Saliency: correct answers", caption)
    title = "Saliency: most confident wrong answers"
    yield _saliency_block(subject, errors, "wrong", title, f"{caption} Here, the answer is wrong.")


def _saliency_block(subject: Subject, rows: NDArray[np.int64], name: str, title: str, caption: str) -> Block:
    if not len(rows):
        return Note(title, "None.")
    images, labels = subject.evaluated.images[rows], subject.labels[rows]
    answers = subject.predictions.labels[rows]
    maps = [occlude(subject.recognizer, image, answer) for image, answer in zip(images, answers, strict=True)]
    titles = [
        str(label) if label == answer else f"{label}, read as {answer}"
        for label, answer in zip(labels, answers, strict=True)
    ]
    return Picture(
        f"saliency-{name}",
        title,
        caption,
        f"{count(len(rows), 'handwritten digit')}, coloured by how much each part matters for the answer.",
        partial(figures.draw_saliency, images, np.stack(maps), titles),
    )


def _strongest_images(inside: Inside) -> Iterator[Block]:
    convolutions = inside.activations.convolutions
    if not convolutions:
        yield Note("Images that activate a channel", NO_CONVOLUTION)
        return
    rows = np.random.default_rng(0).permutation(inside.subject.sample_rows)[:SEARCHED_IMAGES]
    images = inside.subject.digits.images[rows]
    layers = list(dict.fromkeys([convolutions[0], convolutions[-1]]))
    peaks_of = inside.activations.peaks(images, layers)
    for layer in layers:
        peaks, title = peaks_of[layer.name], f"Images that activate {layer.name} most"
        active = np.flatnonzero(peaks.max(axis=0) > 0)[:SHOWN_CHANNELS]
        if not len(active):
            yield Note(title, "No image activates any channel.")
            continue
        strongest = np.argsort(-peaks[:, active], axis=0, kind="stable")[:IMAGES_PER_CHANNEL].T
        yield Picture(
            f"exciting-{_file_name(layer)}",
            title,
            f"A row for each of {len(active)} channels, with the {strongest.shape[1]} images, out of "
            f"{len(images):,}, that have the highest activation of this channel, in descending order.",
            f"Handwritten digits: a row for each channel of {layer.name}, with the images that activate it "
            "most.",
            partial(figures.draw_strongest_images, images[strongest], active.tolist()),
        )


def _map(inside: Inside, layout: Layout | None) -> Block:
    subject, title = inside.subject, "Map of the last hidden layer"
    if inside.activations.hidden is None:
        return Note(title, "The network does not end in a dense layer, so there is no such layer.")
    if layout is None:
        return Note(title, subject.why_not_evaluated)
    labels, wrong, chosen = subject.labels, subject.wrong, layout.chosen
    return Picture(
        "map",
        title,
        f"{count(len(chosen), 'image')}, placed by {layout.method} of the {layout.width:,} values in the "
        "last hidden layer. Images that are close together look similar to the network; the axes have no "
        "unit. Colours and numbers show the labels; rings mark wrong answers.",
        f"A map of points coloured by digit, with {count(int(wrong.sum()), 'wrong answer')} ringed.",
        partial(figures.draw_map, layout.points, labels[chosen], wrong[chosen]),
    )
