"""The fifteen corruptions of MNIST-C, re-implemented from its paper with its strengths.

N. Mu, J. Gilmer, "MNIST-C: A Robustness Benchmark for Computer Vision", https://arxiv.org/abs/1906.02337;
strengths from https://github.com/google-research/mnist-c. Differences: motion blur uses a line-shaped kernel
with the Gaussian weights of ImageMagick, and Canny edges are those of OpenCV.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from math import atan, cos, pi, sin

import cv2
import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.float32]  # (28, 28), 0 background to 1 ink

SIDE = 28
CENTRE_PX = 13.5


def corrupted(images: NDArray[np.uint8], name: str, seed: int = 0) -> NDArray[np.uint8]:
    """Return images, uint8 (N, 28, 28), each corrupted independently."""
    rng = np.random.default_rng([seed, list(CORRUPTIONS).index(name)])
    corruption = CORRUPTIONS[name]
    found = [corruption(image.astype(np.float32) / 255, rng) for image in images]
    return (255 * np.stack(found).clip(0, 1)).astype(np.uint8)


def shot_noise(image: Image, rng: np.random.Generator) -> Image:
    return (rng.poisson(image * 3) / 3).astype(np.float32)


def impulse_noise(image: Image, rng: np.random.Generator) -> Image:
    hit, white = rng.random(image.shape) < 0.17, rng.random(image.shape) < 0.5
    return np.where(hit, white, image).astype(np.float32)


def glass_blur(image: Image, rng: np.random.Generator) -> Image:
    soft = _gaussian(image, 0.7)
    for _ in range(2):
        for row in range(SIDE - 1, 1, -1):
            for column in range(SIDE - 1, 1, -1):
                if rng.random() < 0.5:
                    down, right = rng.integers(-1, 1, 2)
                    one, other = (row, column), (row + down, column + right)
                    soft[one], soft[other] = soft[other], soft[one]
    return _gaussian(soft, 0.7)


def motion_blur(image: Image, rng: np.random.Generator) -> Image:
    angle, radius, sigma = rng.uniform(-pi / 4, pi / 4), 10, 3
    weights = np.exp(-(np.arange(radius) ** 2) / (2 * sigma**2))
    blurred = np.zeros_like(image)
    for step, weight in enumerate(weights / weights.sum()):
        blurred += weight * _warped(image, np.eye(2), (step * sin(angle), step * cos(angle)))
    return blurred


def shear(image: Image, rng: np.random.Generator) -> Image:
    tangent = 0.4 * rng.choice([-1, 1])
    return _warped(image, np.array([[cos(tangent), 0], [-sin(tangent), 1]]))


def scale(image: Image, _rng: np.random.Generator) -> Image:
    return _warped(image, np.eye(2) / 0.7)


def rotate(image: Image, rng: np.random.Generator) -> Image:
    angle = 0.4 * rng.choice([-1, 1])
    return _warped(image, np.array([[cos(angle), sin(angle)], [-sin(angle), cos(angle)]]))


def brightness(image: Image, _rng: np.random.Generator) -> Image:
    return image + np.float32(0.5)


def translate(image: Image, rng: np.random.Generator) -> Image:
    down, right = 3 * rng.choice([-1, 1], 2)
    return _warped(image, np.eye(2), (float(down), float(right)))


def stripe(image: Image, _rng: np.random.Generator) -> Image:
    striped = image.copy()
    striped[:, :7], striped[:, 21:] = 1 - image[:, :7], 1 - image[:, 21:]
    return striped


def fog(image: Image, rng: np.random.Generator) -> Image:
    thickness = 3.0
    highest = float(image.max())
    mist = _plasma(rng, 256, 1.4)[:SIDE, :SIDE]
    return ((image + thickness * mist) * highest / (highest + thickness)).astype(np.float32)


def spatter(image: Image, rng: np.random.Generator) -> Image:
    drops = _gaussian(rng.normal(0.65, 0.3, image.shape).astype(np.float32), 1)
    mud = _gaussian((drops > 0.65).astype(np.float32), 1.5)
    mud[mud < 0.8] = 0
    return image * (1 - mud) + 63 / 255 * mud


def dotted_line(image: Image, rng: np.random.Generator) -> Image:
    first, last = rng.integers(0, 27, 2)
    line = _line(0, float(first), 27, float(last))
    gaps = np.arange(SIDE) // 2 % 2 == 0
    line[:, gaps] = 0
    return image + line


def zigzag(image: Image, rng: np.random.Generator) -> Image:
    left, right, length, width = 2.0, 25.0, 2.0, 2.0
    first = float(rng.integers(0, 27))
    last = first + float(rng.integers(-5, 5))
    angle = atan((last - first) / (right - left))
    whole = (right - left) / cos(angle)
    corners = [(0.0, 0.0)]
    for number in range(int((whole - length) // (2 * length)) + 1):
        corners.append(((2 * number + 1) * length, (-1) ** number * width))
    corners.append((whole, 0.0))
    turn = np.array([[cos(angle), -sin(angle)], [sin(angle), cos(angle)]])
    points = np.array(corners) @ turn.T + (left, first)
    marked = image.copy()
    for (c0, r0), (c1, r1) in pairwise(points):
        marked = np.clip(marked + _line(c0, r0, c1, r1), 0, 1)
    return marked


def canny_edges(image: Image, _rng: np.random.Generator) -> Image:
    soft = (255 * _gaussian(image, 1)).astype(np.uint8)
    return (cv2.Canny(soft, 25, 51, L2gradient=True) / 255).astype(np.float32)


CORRUPTIONS: dict[str, Callable[[Image, np.random.Generator], Image]] = {
    each.__name__: each
    for each in (
        shot_noise,
        impulse_noise,
        glass_blur,
        motion_blur,
        shear,
        scale,
        rotate,
        brightness,
        translate,
        stripe,
        fog,
        spatter,
        dotted_line,
        zigzag,
        canny_edges,
    )
}


def _gaussian(image: Image, sigma: float) -> Image:
    return np.asarray(cv2.GaussianBlur(image, (0, 0), sigma), np.float32)


def _warped(image: Image, matrix: NDArray[np.float64], moved: tuple[float, float] = (0.0, 0.0)) -> Image:
    """Map the (row, column) of each output pixel, relative to the centre, to the input; then move it."""
    rows, columns = np.mgrid[:SIDE, :SIDE] - CENTRE_PX
    places = np.stack([rows, columns], axis=-1) @ matrix.T + CENTRE_PX + moved
    down, right = places[..., 0].astype(np.float32), places[..., 1].astype(np.float32)
    return np.asarray(cv2.remap(image, right, down, cv2.INTER_LINEAR), np.float32)


def _line(c0: float, r0: float, c1: float, r1: float) -> Image:
    """Return a soft line from column `c0` to `c1` that fades out within 2.3 · (1 - 1/e) pixels."""
    columns, rows = np.meshgrid(np.arange(SIDE), np.arange(SIDE))
    slope = (r1 - r0) / (c1 - c0) if c1 != c0 else 0.0
    apart = np.abs(rows - (slope * (columns - c0) + r0)).clip(0, 2.3 - 1e-10)
    line = np.clip(np.log(1 - apart / 2.3) + 1, 0, 1)
    line[:, : int(np.floor(c0))] = 0
    line[:, int(np.ceil(c1)) :] = 0
    return line.astype(np.float32)


def _plasma(rng: np.random.Generator, size: int, decay: float) -> NDArray[np.float64]:
    """Return clouds, 0 to 1, by the diamond-square algorithm on a torus."""
    field = np.zeros((size, size))
    step, wobble = size, 100.0

    def means(sums: NDArray[np.float64]) -> NDArray[np.float64]:
        noise: NDArray[np.float64] = sums / 4 + wobble * rng.uniform(-wobble, wobble, sums.shape)
        return noise

    while step >= 2:
        half = step // 2
        corners = field[::step, ::step]
        pairs = corners + np.roll(corners, -1, axis=0)
        field[half::step, half::step] = means(pairs + np.roll(pairs, -1, axis=1))
        middles = field[half::step, half::step]
        across = middles + np.roll(middles, 1, axis=0) + corners + np.roll(corners, -1, axis=1)
        field[::step, half::step] = means(across)
        along = middles + np.roll(middles, 1, axis=1) + corners + np.roll(corners, -1, axis=0)
        field[half::step, ::step] = means(along)
        step, wobble = half, wobble / decay
    field -= field.min()
    return field / field.max()
