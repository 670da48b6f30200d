"""What a camera, a scanner and a file format do to a page."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray

Rng = np.random.Generator
Grey = NDArray[np.float32]  # (H, W), 0 black to 255 white

P_INVERTED = 0.2
MIN_SAMPLED_EM_PX = 8.0  # height of digits in the smallest version of a picture
MAX_BLUR = 0.055  # standard deviation relative to the height of digits
MAX_NOISE = 0.25  # standard deviation relative to the contrast of ink
MIN_CONTRAST = 20.0  # grey levels between ink and paper, at least
JPEG_QUALITIES = (25, 96)


def _defocus(grey: Grey, em: float, _contrast: float, rng: Rng) -> Grey:
    sigma = rng.uniform(0.2, max(0.5, MAX_BLUR * min(em, 60)))
    return np.asarray(cv2.GaussianBlur(grey, (0, 0), sigma), np.float32)


def _motion(grey: Grey, em: float, _contrast: float, rng: Rng) -> Grey:
    length = int(np.clip(rng.uniform(0.05, 0.2) * em, 2, 12))
    kernel = np.zeros((length, length), np.float32)
    cv2.line(kernel, (0, int(rng.integers(length))), (length - 1, int(rng.integers(length))), 1.0)
    kernel = kernel if rng.random() < 0.5 else np.ascontiguousarray(kernel.T)
    return np.asarray(cv2.filter2D(grey, -1, kernel / kernel.sum()), np.float32)


def _resample(grey: Grey, em: float, _contrast: float, rng: Rng) -> Grey:
    """Make the picture smaller, and large again."""
    factor = rng.uniform(min(0.9, MIN_SAMPLED_EM_PX / em), 1.0)
    height, width = grey.shape
    small = cv2.resize(
        grey, (max(8, round(width * factor)), max(8, round(height * factor))), interpolation=cv2.INTER_AREA
    )
    ways = (cv2.INTER_LINEAR, cv2.INTER_CUBIC, cv2.INTER_NEAREST)
    way = ways[rng.choice(3, p=(0.45, 0.4, 0.15))]
    return np.asarray(cv2.resize(small, (width, height), interpolation=way), np.float32)


def _sharpen(grey: Grey, _em: float, _contrast: float, rng: Rng) -> Grey:
    blurred = cv2.GaussianBlur(grey, (0, 0), 1.2)
    return np.asarray(
        cv2.addWeighted(grey, 1 + (amount := rng.uniform(0.3, 1.2)), blurred, -amount, 0), np.float32
    )


def _noise(grey: Grey, _em: float, contrast: float, rng: Rng) -> Grey:
    noise = rng.standard_normal(grey.shape, np.float32)
    return grey + noise * np.float32(min(rng.exponential(4.0) + 0.5, MAX_NOISE * contrast))


def _fade(grey: Grey, _em: float, contrast: float, rng: Rng) -> Grey:
    """Compress the range of grey values."""
    strength = rng.uniform(min(1.0, max(0.35, MIN_CONTRAST / contrast)), 1)
    return grey * np.float32(strength) + np.float32(rng.uniform(0, 255 * (1 - strength)))


def _black_and_white(grey: Grey, _em: float, _contrast: float, rng: Rng) -> Grey:
    """Compare with the surroundings, as scanners and fax machines do."""
    mean = cv2.blur(grey, (41, 41)) - np.float32(rng.uniform(10, 22))
    return np.where(grey < mean, np.float32(0), np.float32(255))


def _jpeg(grey: Grey, _em: float, _contrast: float, rng: Rng) -> Grey:
    quality = int(rng.integers(*JPEG_QUALITIES))
    _, stream = cv2.imencode(
        ".jpg", np.clip(grey, 0, 255).astype(np.uint8), [cv2.IMWRITE_JPEG_QUALITY, quality]
    )
    return np.asarray(cv2.imdecode(stream, cv2.IMREAD_GRAYSCALE), np.float32)


CAMERA_EFFECTS: dict[str, tuple[float, Callable[[Grey, float, float, Rng], Grey]]] = {
    "defocus": (0.5, _defocus),
    "motion": (0.07, _motion),
    "resample": (0.2, _resample),
    "fade": (0.2, _fade),
    "noise": (0.5, _noise),
    "sharpen": (0.12, _sharpen),
    "black and white": (0.03, _black_and_white),
    "JPEG": (0.4, _jpeg),
}  # probability, and what it makes of a picture, in this order
CLEAN_EFFECTS = ("resample", "JPEG", "defocus")  # of pictures that a program draws
CLEAN_FACTOR = 0.4  # their probability there, relative to other pages


def take_picture(grey: Grey, em: float, contrast: float, rng: Rng, *, is_clean: bool) -> NDArray[np.uint8]:
    """Return a picture of a page, uint8 (H, W).

    Its digits are `em` pixels high, with a contrast of as many grey levels to the paper.
    """
    for name, (p, effect) in CAMERA_EFFECTS.items():
        p_here = (CLEAN_FACTOR * p if name in CLEAN_EFFECTS else 0.0) if is_clean else p
        if rng.random() < p_here:
            grey = effect(grey, em, contrast, rng)
    image = np.clip(np.rint(grey), 0, 255).astype(np.uint8)
    return 255 - image if rng.random() < P_INVERTED else image
