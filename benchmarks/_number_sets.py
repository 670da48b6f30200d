"""The sets of pictures that readers of numbers are measured on: real ones, composed ones, non-digits."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import cv2
import matplotlib
import numpy as np
from numpy.typing import NDArray

from _bench import BenchmarkError
from _layouts import boxed_number, comb_field, signed_number
from _non_digits import (
    CAPITALS,
    GREEK,
    ITALIC,
    SMALL_LETTERS,
    UPRIGHT_AND_ITALIC,
    non_digit_pages,
    printed_by,
)
from _real_pictures import read_labels
from _result_rows import Target, at_least
from _sheets import Hand, Sheet
from _synthetic_pages import on_paper, string_pages
from _views import plain_page
from digit_recognizer import Digits
from digit_recognizer.digits import INK
from digit_recognizer.imaging import decode

Page = NDArray[np.uint8]

STRINGS, PICTURES_OF_A_LAYOUT = 2_000, 200
LETTERS, NON_DIGITS, TEXTURES, DOODLES, TRAINING_CELLS = 300, 480, 200, 500, 500
TOUCHING_FRACTION = 1 / 3  # of neighbours in a string
FRAMED_DIGITS = "two digits in a box"  # a kind that is no single digit, but holds some
HANDS_SIDE_PX = 64  # to which stretched digits of other hands are enlarged
TIGHT_MARGINS_PX = (0, 2)
TEXTURE_SIDES_PX = (60, 300)
TEXTURE_EXPONENTS = (0.5, 2.0)  # amplitude falls with this power of the frequency
SERIF_FONTS = ("DejaVuSerif", "STIXGeneral", "cmr10", "cmss10")
PHOTO_FILES = ("grace_hopper.jpg", "Minduka_Present_Blue_Pack.png")  # of matplotlib's sample data


@dataclass(frozen=True, slots=True, eq=False)
class Sources:
    """Where the sets come from; None for folders that are not at hand."""

    pictures: Path | None
    numbers: Path | None
    hands: Path | None
    digits: Digits  # held out of the training of the models that are measured
    hand: Hand
    sample: int | None  # pictures of each set at most
    seed: int

    def count(self, usual: int) -> int:
        return usual if self.sample is None else min(usual, self.sample)

    def pick(self, length: int, usual: int | None = None) -> list[int]:
        """Return the places of a sample of `length` pictures, the same each time, in their order."""
        count = self.count(length if usual is None else min(usual, length))
        return sorted(np.random.default_rng(0).permutation(length)[:count].tolist())


@dataclass(frozen=True, slots=True, eq=False)
class Case:
    """A picture and what is written on it; empty if there is no digit."""

    name: str
    page: Page  # (H, W), 0 black to 255 white
    expected: str


@dataclass(frozen=True, slots=True)
class PictureSet:
    """A set, how its readings are compared, and from which percentage each is good enough.

    `measures` are names of `_scores.MEASURES`; `single` says that pictures hold at most one digit, so that
    `read_single` is measured as well.
    """

    section: str
    cases: Callable[[Sources], Iterator[Case]]
    measures: dict[str, Target | None]
    single: bool = False
    by_default: bool = True


def _real(folder: str, part: str | None = None, usual: int | None = None) -> Callable[..., Iterator[Case]]:
    """Return the pictures of a folder in a list, all or some of one part."""

    def cases(sources: Sources) -> Iterator[Case]:
        roots = [root for root in (sources.pictures, sources.numbers) if root is not None]
        found = [
            picture
            for root in roots
            for picture in read_labels(root)
            if picture.folder == folder and part in (None, picture.part)
        ]
        for place in sources.pick(len(found), usual):
            yield Case(found[place].name, decode(found[place].path), found[place].label)

    return cases


def _stretched(name: str) -> Callable[..., Iterator[Case]]:
    """Return tight crops of digits by other hands, dark on white, without margin and with two pixels."""

    def cases(sources: Sources) -> Iterator[Case]:
        arrays = _arrays(sources, name)
        for place in sources.pick(len(arrays["labels"])):
            size = (HANDS_SIDE_PX, HANDS_SIDE_PX)
            image = cv2.resize(arrays["images"][place], size, interpolation=cv2.INTER_CUBIC)
            margin = TIGHT_MARGINS_PX[place % len(TIGHT_MARGINS_PX)]
            page = np.asarray(INK - np.pad(image, margin), np.uint8)
            yield Case(f"{place}, margin {margin}", page, str(arrays["labels"][place]))

    return cases


def _arrays(sources: Sources, name: str) -> dict[str, NDArray[np.uint8]]:
    if sources.hands is None:
        raise BenchmarkError(f"name the folder of {name} with --hands")
    with np.load(sources.hands / name) as archive:
        return {key: archive[key] for key in archive.files}


def _strings(touching: float) -> Callable[..., Iterator[Case]]:
    def cases(sources: Sources) -> Iterator[Case]:
        pages = string_pages(sources.digits, sources.count(STRINGS), touching, sources.seed)
        for number, each in enumerate(pages):
            yield Case(str(number), each.page, each.text)

    return cases


def _sheets(
    write: Callable[[Hand, np.random.Generator], Sheet], joined: str
) -> Callable[..., Iterator[Case]]:
    """Return pages whose numbers count as one text, joined by `joined`."""

    def cases(sources: Sources) -> Iterator[Case]:
        for number in range(sources.count(PICTURES_OF_A_LAYOUT)):
            rng = np.random.default_rng([sources.seed, number])
            view = plain_page(write(sources.hand, rng), 0.0, rng)
            yield Case(str(number), view.page, joined.join(each.text for each in view.numbers))

    return cases


def _printed(texts: str, fonts: Sequence[str]) -> Callable[..., Iterator[Case]]:
    def cases(sources: Sources) -> Iterator[Case]:
        draw = printed_by(tuple(texts), fonts)
        for number in range(sources.count(LETTERS)):
            rng = np.random.default_rng([sources.seed, number])
            yield Case(str(number), on_paper(draw(rng, sources.digits.images), rng), "")

    return cases


def _drawn_non_digits(sources: Sources) -> Iterator[Case]:
    count = sources.count(NON_DIGITS)
    pages = non_digit_pages(2 * count + 1, sources.digits.images, sources.seed)
    kept = ((kind, page) for kind, page in pages if kind != FRAMED_DIGITS)
    for number, (kind, page) in enumerate(islice(kept, count)):
        yield Case(f"{number}, {kind}", page, "")


def _textures(sources: Sources) -> Iterator[Case]:
    """Yield clouds and grain of composed noise, and crops of matplotlib's two sample photos, in turn."""
    folder = Path(matplotlib.get_data_path()) / "sample_data"
    photos = [decode(folder / name) for name in PHOTO_FILES]
    for number in range(sources.count(TEXTURES)):
        rng = np.random.default_rng([sources.seed, number])
        shape = rng.integers(*TEXTURE_SIDES_PX, 2)
        photo = number % (len(photos) + 1)
        if photo == len(photos):
            yield Case(f"{number}, noise", _noise(shape, rng), "")
        else:
            yield Case(f"{number}, {PHOTO_FILES[photo]}", _crop(photos[photo], shape, rng), "")


def _noise(shape: NDArray[np.int_], rng: np.random.Generator) -> Page:
    """Return noise whose amplitude falls with a power of the frequency, stretched in one direction."""
    rows, columns = (np.fft.fftfreq(length)[:, None] * length for length in shape)
    distance = np.hypot(rows, columns.T * rng.uniform(0.1, 1)).clip(1)
    waves = np.fft.fft2(rng.standard_normal(shape)) / distance ** rng.uniform(*TEXTURE_EXPONENTS)
    grey = np.fft.ifft2(waves).real
    grey = (grey - grey.mean()) / grey.std() * rng.uniform(10, 50) + rng.uniform(70, 200)
    return np.asarray(grey.clip(0, 255), np.uint8)


def _crop(photo: Page, shape: NDArray[np.int_], rng: np.random.Generator) -> Page:
    height, width = (min(length, whole) for length, whole in zip(shape, photo.shape, strict=True))
    top, left = (
        int(rng.integers(whole - part + 1)) for whole, part in zip(photo.shape, (height, width), strict=True)
    )
    part = np.rot90(photo[top : top + height, left : left + width], rng.integers(4))
    return np.ascontiguousarray(part[:, ::-1] if rng.random() < 0.5 else part)


def _doodles(sources: Sources) -> Iterator[Case]:
    arrays = _arrays(sources, "shapes.npz")
    for place in sources.pick(len(arrays["images"]), DOODLES):
        yield Case(f"{place}, {arrays['kinds'][place]}", arrays["images"][place], "")


REAL, COMPOSED, NONE = "Real pictures", "Composed pictures", "No digit read in"
SETS: dict[str, PictureSet] = {
    "photos": PictureSet(REAL, _real("photos"), {"digits": at_least(98.5)}, single=True),
    "drawn": PictureSet(REAL, _real("drawn"), {"digits": at_least(98.8)}, single=True),
    "drawn-small": PictureSet(REAL, _real("drawn-small"), {"digits": at_least(98.5)}, single=True),
    "cheques": PictureSet(REAL, _real("cheques"), {"digits": at_least(85)}),
    "cells": PictureSet(
        REAL, _real("cells", "validation"), {"digits": at_least(75), "exactly": at_least(65)}
    ),
    "cells-train": PictureSet(
        REAL, _real("cells", "train", TRAINING_CELLS), {"digits": at_least(75), "exactly": at_least(65)}
    ),
    "rows": PictureSet(REAL, _real("rows"), {"digits": at_least(70), "first number": at_least(70)}),
    # a model may have learned from these two
    "semeion": PictureSet(
        REAL, _stretched("semeion-first-half.npz"), {"digits": at_least(95)}, True, by_default=False
    ),
    "optdigits": PictureSet(
        REAL, _stretched("optdigits-train.npz"), {"digits": None}, True, by_default=False
    ),
    "strings-apart": PictureSet(COMPOSED, _strings(0.0), {"exactly": at_least(98)}),
    "strings-touching": PictureSet(COMPOSED, _strings(TOUCHING_FRACTION), {"exactly": at_least(92)}),
    "comb": PictureSet(COMPOSED, _sheets(comb_field, ""), {"digits": at_least(95)}),
    "boxed": PictureSet(COMPOSED, _sheets(boxed_number, ""), {"exactly": at_least(95)}),
    "signs": PictureSet(
        COMPOSED, _sheets(signed_number, ""), {"digits": at_least(95), "exactly": at_least(95)}
    ),
    "not-digits": PictureSet(NONE, _real("not-digits"), {"refused": at_least(95)}, single=True),
    "letters": PictureSet(
        NONE,
        _printed(CAPITALS + SMALL_LETTERS, UPRIGHT_AND_ITALIC + SERIF_FONTS + ITALIC),
        {"refused": at_least(95)},
        single=True,
    ),
    "greek": PictureSet(NONE, _printed(GREEK, UPRIGHT_AND_ITALIC), {"refused": at_least(95)}, single=True),
    "non-digits": PictureSet(NONE, _drawn_non_digits, {"refused": at_least(95)}, single=True),
    "textures": PictureSet(NONE, _textures, {"refused": at_least(99)}, single=True),
    "doodles": PictureSet(NONE, _doodles, {"refused": at_least(99)}, single=True),
}
