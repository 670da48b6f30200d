"""What is learned of pictures of numbers: their texts, in a size that suits the network, and other pages."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from math import ceil
from threading import Event

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from digit_recognizer.digits import Digits
from digit_recognizer.imaging.resize import resize
from digit_recognizer.progress import counted, following
from digit_recognizer.recipes.numbers import NumbersRecipe
from digit_recognizer.recognition.character_finder import pyramid_scales
from digit_recognizer.runs.split import DataSplit
from digit_recognizer.sources.numbers import NumberPictures
from digit_recognizer.synthetic.pages import ComposedPage, compose_page, make_glyphs
from digit_recognizer.training.numbers import page_views
from digit_recognizer.training.numbers.alignment import alignment_loss
from digit_recognizer.training.numbers.detection import detection_loss, make_targets
from digit_recognizer.training.numbers.text_loss import (
    column_log_probabilities,
    most_probable_texts,
    text_losses,
)
from digit_recognizer.training.numbers.views import sample_view, stack
from digit_recognizer.training.randomness import shuffled_batches

PAGE_HEIGHT_PX, PAGE_WIDTH_PX = 192, 256  # of composed pages
MAX_BATCH_PIXELS = 2_000_000  # at once, without gradients
MAX_BATCH_PICTURES = 64
SORTED_BATCHES = 16  # that are made of pictures drawn together, sorted by their sizes

Page = NDArray[np.uint8]
FindMaps = Callable[[Tensor], Tensor]  # of pages, (N, H, W)


@dataclass(frozen=True, slots=True, eq=False)
class NumberTask:
    """Learn the texts of pictures of numbers; `fit.Task` describes the methods.

    Attributes
    ----------
    pictures, validation
        Those to learn from, and those that are held out.
    scales, validation_scales
        The size in which each is shown, relative to its own.
    pages
        Composed pages to learn from besides.
    """

    recipe: NumbersRecipe
    seed: int
    device: torch.device
    pictures: NumberPictures
    scales: NDArray[np.float64]
    validation: NumberPictures
    validation_scales: NDArray[np.float64]
    pages: Sequence[ComposedPage]

    @property
    def validation_count(self) -> int:
        """The number of pictures that are held out for validation."""
        return len(self.validation)

    def batches(self, epoch: int, member: int) -> list[Tensor]:
        """Return the rows of each batch of an epoch; there is one member, whose place the rounds take."""
        number = len(self.pictures)
        rounds = range(member, member + ceil(self.recipe.shown / number))
        return [rows for each in rounds for rows in self._batches_of_round(epoch, each)]

    def _batches_of_round(self, epoch: int, number: int) -> list[Tensor]:
        """Return batches of all pictures once, those of similar sizes together: margins are narrow."""
        pixels = torch.from_numpy(self.scales**2 * [picture.size for picture in self.pictures.pictures])
        batches = shuffled_batches(len(pixels), self.recipe.batch_size, self.seed, epoch, number)
        by_size: list[Tensor] = []
        for start in range(0, len(batches), SORTED_BATCHES):
            drawn = batches[start : start + SORTED_BATCHES]
            rows = torch.cat(drawn)
            rows = rows[pixels[rows].argsort(stable=True)]
            by_size += torch.split(rows, [len(each) for each in drawn])
        order = np.random.default_rng([self.seed, epoch, number]).permutation(len(by_size))
        return [by_size[place] for place in order]

    def losses(self, network: nn.Module, rows: Tensor) -> tuple[Tensor, Tensor, int]:
        """Return the loss, and that of the texts alone, per picture, and how many are read exactly."""
        rng = np.random.default_rng(int(torch.randint(2**62, ())))
        batch = self.pictures[rows.numpy()]
        scales = self.scales[rows.numpy()]
        strength = self.recipe.augmentation
        views = [
            sample_view(picture, scale, rng, strength)
            for picture, scale in zip(batch.pictures, scales, strict=True)
        ]
        pages = stack(views, rng)
        maps = self._maps(network, pages)
        columns = column_log_probabilities(maps)
        texts = text_losses(columns, batch.labels)
        right = sum(map(str.__eq__, most_probable_texts(columns), batch.labels))
        loss = texts.sum() / sum(map(len, batch.labels))
        if self.recipe.aligned:
            loss = loss + self.recipe.aligned * alignment_loss(pages, maps, columns, batch.labels)
        loss = loss + self.recipe.composed.weight * self._page_loss(network, rng)
        return loss, texts.mean().detach(), right

    def validate(self, network: nn.Module) -> tuple[float, int]:
        """Return the mean loss of the texts held out, and how many are not read exactly."""
        network.eval()
        losses, wrong = 0.0, 0
        levels = [
            resize(picture, scale)
            for picture, scale in zip(self.validation.pictures, self.validation_scales, strict=True)
        ]
        for rows, columns in _columns(lambda pages: self._maps(network, pages), levels):
            labels = [self.validation.labels[row] for row in rows]
            losses += float(text_losses(columns, labels).sum())
            wrong += sum(map(str.__ne__, most_probable_texts(columns), labels))
        return losses / len(levels), wrong

    def with_validation(self, pictures: NumberPictures, start: nn.Module) -> NumberTask:
        """Return a task that validates on other pictures, in the sizes that `start` chooses."""
        find = partial(_find_maps, start, recipe=self.recipe, device=self.device)
        return replace(self, validation=pictures, validation_scales=choose_scales(find, pictures))

    def _page_loss(self, network: nn.Module, rng: np.random.Generator) -> Tensor:
        """Return the loss of composed pages, each seen in another way."""

        def draw() -> ComposedPage:
            return self.pages[int(rng.integers(len(self.pages)))]

        pages = [page_views.sample_view(draw, rng) for _ in range(self.recipe.composed.pages)]
        maps = self._maps(network, torch.from_numpy(np.stack([page.image for page in pages])))
        return detection_loss(maps, make_targets(pages))[0]

    def _maps(self, network: nn.Module, pages: Tensor) -> Tensor:
        return _find_maps(network, pages, self.recipe, self.device)


def prepare_task(
    pictures: NumberPictures,
    recipe: NumbersRecipe,
    split: DataSplit,
    start: nn.Module,
    digits: Digits,
    *,
    seed: int,
    device: torch.device,
    stop: Event | None = None,
) -> NumberTask:
    """Return what a run learns; `start` chooses the size of each picture, pages are composed of `digits`.

    Once `stop` is set, what is returned is incomplete.
    """
    start.eval()
    find = partial(_find_maps, start, recipe=recipe, device=device)
    training, validation = pictures[split.training], pictures[split.validation]
    scales, validation_scales = (choose_scales(find, each, stop) for each in (training, validation))
    pages = _compose_pages(digits, recipe.composed.drawn, seed, stop)
    return NumberTask(recipe, seed, device, training, scales, validation, validation_scales, pages)


def _find_maps(network: nn.Module, pages: Tensor, recipe: NumbersRecipe, device: torch.device) -> Tensor:
    is_lowered = recipe.precision.convolution == "bfloat16"  # the network has no other layers
    with torch.autocast(device.type, torch.bfloat16, enabled=is_lowered):
        maps: Tensor = network(pages.to(device))
    return maps.float().cpu()


def choose_scales(find: FindMaps, pictures: NumberPictures, stop: Event | None = None) -> NDArray[np.float64]:
    """Return the size for each picture, of those in which it is read, in which its text is most probable."""
    choices = [
        (row, scale)
        for row, picture in enumerate(pictures.pictures)
        for scale in pyramid_scales(*picture.shape)
    ]
    levels = [resize(pictures.pictures[row], scale) for row, scale in choices]
    scales, least = np.ones(len(pictures)), np.full(len(pictures), np.inf)
    with following("Choosing sizes") as tell:
        for places, columns in counted(_columns(find, levels), len(list(_batches(levels))), tell):
            if stop is not None and stop.is_set():
                break
            rows = [choices[place][0] for place in places]
            losses = text_losses(columns, [pictures.labels[row] for row in rows]).tolist()
            for row, place, loss in zip(rows, places, losses, strict=True):
                if 0 < loss < least[row]:  # 0: the text has no room
                    scales[row], least[row] = choices[place][1], loss
    return scales


def _compose_pages(digits: Digits, number: int, seed: int, stop: Event | None) -> list[ComposedPage]:
    glyphs, rng = make_glyphs(digits), np.random.default_rng([seed, PAGE_HEIGHT_PX])
    pages: list[ComposedPage] = []
    with following("Composing pages") as tell:
        for _ in counted(range(number), number, tell):
            if stop is not None and stop.is_set():
                break
            pages.append(compose_page(glyphs, rng, height=PAGE_HEIGHT_PX, width=PAGE_WIDTH_PX))
    return pages


def _columns(find: FindMaps, levels: Sequence[Page]) -> Iterator[tuple[list[int], Tensor]]:
    """Yield places in `levels`, and what is in the columns of these, batch by batch."""
    for places in _batches(levels):
        with torch.inference_mode():
            yield places, column_log_probabilities(find(stack([levels[place] for place in places])))


def _batches(levels: Sequence[Page]) -> Iterator[list[int]]:
    """Yield places in `levels`, those of similar sizes together."""
    batch: list[int] = []
    for place in sorted(range(len(levels)), key=lambda place: levels[place].shape[::-1]):
        grown = [*batch, place]
        sides = [max(levels[each].shape[axis] for each in grown) for axis in (0, 1)]
        if batch and (len(grown) > MAX_BATCH_PICTURES or len(grown) * sides[0] * sides[1] > MAX_BATCH_PIXELS):
            yield batch
            grown = [place]
        batch = grown
    if batch:
        yield batch
