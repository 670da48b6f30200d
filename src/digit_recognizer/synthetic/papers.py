"""Grey values of a page: paper, light, patterns, pens, and papers that are laid on it."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray

from digit_recognizer.synthetic.ink import Coverage
from digit_recognizer.synthetic.sheet import Box

Rng = np.random.Generator
Grey = NDArray[np.float32]  # (H, W), about 0 black to 255 white

TONE_RANGE = (140.0, 252.0)  # of paper
DARK_TONE_RANGE = (70.0, 150.0)
P_DARK_PAPER = 0.12
P_CLEAN = 0.22  # pages as a program draws them: no light, no grain
P_PATTERN = 0.05  # pages with fine lines that are no cheques
MIN_CONTRAST = 26.0  # grey levels between ink and paper, at least
DESK_RANGE = (0.0, 110.0)


def lay_out_light(
    height: int, width: int, rng: Rng, *, is_clean: bool, is_patterned: bool = False
) -> tuple[Grey, float]:
    """Return the grey values of empty paper, and its mean tone."""
    dark = rng.random() < P_DARK_PAPER
    tone = (
        255.0 if is_clean and rng.random() < 0.6 else rng.uniform(*(DARK_TONE_RANGE if dark else TONE_RANGE))
    )
    paper = np.full((height, width), tone, np.float32)
    for name, (p, effect) in PAPER_EFFECTS.items():
        if is_patterned if name == "pattern" else not is_clean and rng.random() < p:
            paper += effect(height, width, tone, rng)
    return np.clip(paper, 8, 255, out=paper), float(tone)


def _gradient(height: int, width: int, tone: float, rng: Rng) -> Grey:
    """Let light fall off, or make clouds of light."""
    cells = rng.normal(0, tone * rng.uniform(0.01, 0.11), rng.choice([2, 3, 4], 2)).astype(np.float32)
    return np.asarray(cv2.resize(cells, (width, height), interpolation=cv2.INTER_CUBIC), np.float32)


def _shadow(height: int, width: int, tone: float, rng: Rng) -> Grey:
    """Throw a shadow with a straight edge, soft or hard."""
    across = _ramp(height, width, rng) + rng.uniform(-0.3, 0.3)
    softness = np.exp(rng.uniform(np.log(0.01), np.log(0.3)))
    return np.asarray(np.clip(across / softness, -0.5, 0.5) * tone * rng.uniform(0.1, 0.4), np.float32)


def _fold(height: int, width: int, tone: float, rng: Rng) -> Grey:
    """Fold: brighter on one side, a dark or bright line between."""
    across = _ramp(height, width, rng) * max(height, width) + rng.uniform(-40, 40)
    line = np.exp(-np.square(across / rng.uniform(0.8, 3)))
    return np.asarray(
        tone * (rng.uniform(-0.15, 0.1) * line + rng.uniform(0, 0.06) * np.sign(across)), np.float32
    )


def _grain(height: int, width: int, tone: float, rng: Rng) -> Grey:
    """Show the structure of paper, finer or coarser."""
    factor = int(rng.choice([1, 2, 3]))
    cells = rng.standard_normal((height // factor + 1, width // factor + 1), np.float32)
    cells *= tone * float(rng.uniform(0.005, 0.04))
    return np.asarray(cv2.resize(cells, (width, height), interpolation=cv2.INTER_LINEAR), np.float32)


def _pattern(height: int, width: int, tone: float, rng: Rng) -> Grey:
    """Print fine waves, as on cheques."""
    pattern = np.zeros((height, width), np.float32)
    rows, columns = np.arange(height, dtype=np.float32)[:, None], np.arange(width, dtype=np.float32)[None]
    count = int(rng.integers(1, 4))
    for _ in range(count):
        angle, pitch = rng.uniform(0, 3.14), rng.uniform(3, 14)
        across = columns * np.float32(np.cos(angle)) + rows * np.float32(np.sin(angle))
        waves = np.float32(rng.uniform(0, 2.5)) * np.sin(
            columns * np.float32(rng.uniform(0.02, 0.25)) + rows * 0.01
        )
        sine = np.cos((across + waves) * np.float32(6.283 / pitch))
        pattern -= np.maximum(sine - np.float32(rng.uniform(0, 0.8)), 0) * np.float32(
            tone * rng.uniform(0.08, 0.5) / count
        )
    return pattern


PAPER_EFFECTS: dict[str, tuple[float, Callable[[int, int, float, Rng], Grey]]] = {
    "gradient": (0.75, _gradient),
    "shadow": (0.14, _shadow),
    "fold": (0.08, _fold),
    "grain": (0.5, _grain),
    "pattern": (P_PATTERN, _pattern),
}  # probability, and what it adds to the grey values of paper


def texture(height: int, width: int, rng: Rng) -> Grey:
    """Return a picture like a photo of things: clouds and fibres, planes with edges, ribbons."""
    picture = np.full((height, width), rng.uniform(60, 200), np.float32)
    for cells in (3, 7, 15, 40, 100):
        noise = rng.standard_normal((cells, cells), np.float32) * np.float32(rng.uniform(0, 90) / cells**0.4)
        picture += cv2.resize(noise, (width, height), interpolation=cv2.INTER_CUBIC)
    if rng.random() < 0.4:
        across, down = np.exp(rng.uniform(np.log(3), np.log(80), 2)).astype(int)
        fibres = rng.standard_normal((down, across), np.float32) * np.float32(rng.uniform(5, 50))
        picture += cv2.resize(fibres, (width, height), interpolation=cv2.INTER_CUBIC)
    for _ in range(rng.integers(0, 9)):
        size = np.exp(rng.uniform(np.log(0.03), np.log(0.5), 2)) * max(height, width)
        corners = (
            rng.uniform(0, 1, 2) * (width, height) + rng.uniform(-1, 1, (int(rng.integers(3, 6)), 2)) * size
        )
        mask = cv2.fillPoly(np.zeros((height, width), np.uint8), [corners.astype(np.int32)], 1)
        picture[mask > 0] = picture[mask > 0] * np.float32(rng.uniform(0, 1)) + np.float32(
            rng.uniform(0, 200)
        )
    for _ in range(rng.choice([0, 0, 2, 5])):
        picture = _lay_ribbon(picture, rng)
    return np.clip(picture, 0, 255)


def _lay_ribbon(picture: Grey, rng: Rng) -> Grey:
    """Lay a curved ribbon, or a cable, on a picture, brighter or darker along it."""
    height, width = picture.shape
    longest = max(height, width)
    steps = np.cumsum(rng.normal(0, 0.5, 12)) + rng.uniform(0, 6.28)
    stride = longest * np.exp(rng.uniform(np.log(0.01), np.log(0.08)))
    points = rng.uniform(0, 1, 2) * (width, height) + stride * np.cumsum(
        np.stack([np.cos(steps), np.sin(steps)], axis=1), axis=0
    )
    mask = np.zeros((height, width), np.uint8)
    thickness = max(1, round(longest * np.exp(rng.uniform(np.log(0.006), np.log(0.06)))))
    cv2.polylines(mask, [points.astype(np.int32)], False, 255, thickness, cv2.LINE_AA)
    tone = rng.uniform(0, 255) + _ramp(height, width, rng) * np.float32(rng.uniform(0, 300))
    return np.asarray(picture + (tone - picture) * (mask.astype(np.float32) / 255), np.float32)


def ink_page(
    paper: Grey, tone: float, writing: Coverage, printing: Coverage, rng: Rng, *, is_dark: bool = False
) -> tuple[Grey, float]:
    """Return paper with printing and writing on it, and the least contrast of ink in grey levels."""
    contrast = 255.0
    for layer, low, high in ((printing, 0.05, 0.9), (writing, 0.02, 0.8)):
        if not layer.any():
            continue
        relative = rng.uniform(low, 0.4 if is_dark or rng.random() < 0.4 else high)
        level = min(tone * relative, tone - MIN_CONTRAST) / max(tone, 1.0)
        contrast = min(contrast, tone * (1 - level))
        cover = layer.astype(np.float32) * np.float32((1 - level) / 255)
        if layer is writing and rng.random() < 0.35:
            cover *= _uneven_ink(layer.shape, rng)
        paper = paper * (1 - cover)
    return paper, contrast


def _uneven_ink(shape: tuple[int, ...], rng: Rng) -> Grey:
    """Return how much of the ink arrives: specks of a pencil or chalk, or changing pressure."""
    factor, strength = int(rng.choice([1, 1, 2, 8, 24])), float(rng.uniform(0.1, 0.6))
    cells = rng.random((shape[0] // factor + 2, shape[1] // factor + 2), np.float32)
    pressure = np.asarray(cv2.resize(cells, (shape[1], shape[0]), interpolation=cv2.INTER_LINEAR), np.float32)
    return 1 - np.float32(strength) * pressure


def lay_desk(grey: Grey, desk: Coverage, rng: Rng) -> Grey:
    """Return a page that lies on a desk, or has a scanner's border."""
    if not desk.any():
        return grey
    tone = 0.0 if rng.random() < 0.4 else rng.uniform(*DESK_RANGE)
    surface = np.full_like(grey, tone)
    if rng.random() < 0.5:
        height, width, depth = grey.shape[0], grey.shape[1], max(tone, 20)
        surface += _gradient(height, width, depth, rng) + _grain(height, width, depth, rng)
    return np.asarray(grey + (surface - grey) * (desk.astype(np.float32) / 255), np.float32)


def cut_out_clippings(grey: Grey, clippings: list[Box], rng: Rng) -> Grey:
    """Return the page with clippings of their own tone, polarity and resolution, and nothing around them."""
    background = float(rng.choice([0.0, 255.0, rng.uniform(0, 255), rng.uniform(0, 255)]))
    page = np.full_like(grey, background)
    for box in clippings:
        rows, columns = slice(int(box.top), int(box.bottom)), slice(int(box.left), int(box.right))
        page[rows, columns] = _change_clipping(grey[rows, columns], rng)
    return page


def _change_clipping(grey: Grey, rng: Rng) -> Grey:
    """Change tone, polarity and resolution."""
    height, width = grey.shape
    if rng.random() < 0.5 and min(height, width) > 16:
        factor = rng.uniform(14, 32) / height
        small = max(4, round(width * factor)), max(4, round(height * factor))
        if small[1] < height:
            coarse = cv2.resize(grey, small, interpolation=cv2.INTER_AREA)
            ways = (cv2.INTER_CUBIC, cv2.INTER_LINEAR, cv2.INTER_NEAREST)
            grey = np.asarray(
                cv2.resize(coarse, (width, height), interpolation=ways[rng.integers(3)]), np.float32
            )
    if rng.random() < 0.15:
        grey = np.where(grey < (grey.min() + grey.max()) / 2, np.float32(0), np.float32(255))
    if rng.random() < 0.35:
        grey = 255 - grey
    low = rng.uniform(0, 60) if rng.random() < 0.4 else 0.0
    return np.asarray(low + np.clip(grey, 0, 255) * ((255 - low * rng.uniform(1, 2)) / 255), np.float32)


def _ramp(height: int, width: int, rng: Rng) -> Grey:
    """Return a plane with slope 1 over the longer side, 0 in the middle."""
    angle, longest = rng.uniform(0, 6.283), max(height, width)
    rows = (np.arange(height, dtype=np.float32)[:, None] - height / 2) * np.float32(np.sin(angle) / longest)
    columns = (np.arange(width, dtype=np.float32)[None] - width / 2) * np.float32(np.cos(angle) / longest)
    return np.asarray(rows + columns, np.float32)
