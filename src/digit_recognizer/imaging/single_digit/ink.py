"""Find the ink on a grey page, whatever the lighting, the shadows and the colour of the paper.

Ink is measured as contrast: the fraction by which a point is darker than the paper around it. A stroke in the
shadow therefore counts as much as one in bright light. Light ink on dark paper is inverted first.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

Grey = NDArray[np.float32]

WHITE = 255.0
GREY_LEVELS = 256
FULL_INK_PERCENTILE = 70  # percentile of the contrast of a mark, or of a line, that counts as full ink
MIN_PAPER_LEVEL = 16.0  # grey levels; a fraction of darker paper would be a fraction of noise
MAX_STROKE_FRACTION = 0.25  # of the longer side; wider dark regions are shadows, tables or edges
PAPER_ITERATIONS = 2  # estimates of paper and ink in turn; a third one changes nothing visible
BARE_PAPER_SIGMAS = 2.5  # times the noise; paper differs from its median by less than this
BARE_PAPER_CONTRAST = 0.02  # or by less than this fraction of its brightness
PAPER_MAP_SIDE_PX = 64  # longer side of the reduced page on which the paper's brightness is estimated
PAPER_SIGMA_FRACTION = 1 / 30  # of the longer side: how far bare paper influences the estimate around it
FLAT_PAPER_FRACTION = 0.5  # of the page, and of its edge, with one grey level: a drawing without lighting
NOISE_SAMPLES = 5_000  # points that are enough to estimate the noise
SIGMA_PER_MAD = 1.4826  # standard deviation of normal noise over its median absolute deviation


@dataclass(frozen=True, slots=True, eq=False)
class Ink:
    """How much ink lies on each point of a page."""

    contrast: Grey  # (H, W), about 0 on paper, at most 1; noise makes it negative in places
    smooth: Grey  # (H, W), contrast blurred by about a pixel: to find strokes, not to show them
    noise: float  # standard deviation of the contrast of bare paper
    zoom: float  # pixels of contrast per pixel of the page


def find_ink(page: NDArray[np.uint8], *, max_side: int, min_side: int) -> Ink:
    """Find the ink of a page, (H, W), resized where its longer side is beyond `min_side` to `max_side`."""
    zoom = _zoom(page.shape, max_side, min_side)
    grey = _resize(page, zoom)
    flat = _flat_paper_level(page)
    dark_on_light = is_dark_on_light(grey) if flat is None else page.mean() <= flat
    if not dark_on_light:
        grey, flat = WHITE - grey, None if flat is None else WHITE - flat
    contrast, noise = _estimate_contrast(grey) if flat is None else (_contrast(grey, np.float32(flat)), 0.0)
    smooth = _blur(contrast, 1.2 if zoom >= 2 else 1.0)
    return Ink(contrast, smooth, noise, zoom)


def _flat_paper_level(page: NDArray[np.uint8]) -> float | None:
    """Return the paper's grey level if it has only one, as in drawing programs, else None.

    Such a page needs no estimate of the lighting, which takes most of the time that a drawing needs.
    """
    counts = cv2.calcHist([page], [0], None, [GREY_LEVELS], [0, GREY_LEVELS])
    level = int(counts.argmax())
    edges = (page[0], page[-1], page[:, 0], page[:, -1])
    edge_fraction = sum(int((edge == level).sum()) for edge in edges) / sum(map(len, edges))
    return float(level) if min(edge_fraction, counts.max() / page.size) >= FLAT_PAPER_FRACTION else None


def is_dark_on_light(page: NDArray[Any]) -> bool:
    """Return whether the strokes of a page are darker than its paper.

    Strokes cover the smaller part of any neighbourhood, so they are the long tail of the deviations from the
    local median: the sign of the skewness decides.

    Parameters
    ----------
    page
        Shape (height, width), any dtype: larger is brighter.
    """
    grey = page.astype(np.float32)
    deviation = _blur(grey - _local_median(grey), 1.0)
    return float((deviation**3).sum()) <= 0


def _zoom(shape: tuple[int, ...], max_side: int, min_side: int) -> float:
    side = max(shape)
    if side > max_side:
        return max_side / side
    return float(-(-min_side // side)) if side < min_side else 1.0


def _resize(page: NDArray[np.uint8], zoom: float) -> Grey:
    if zoom == 1:
        return page.astype(np.float32)
    height, width = (max(1, round(side * zoom)) for side in page.shape)
    interpolation = cv2.INTER_AREA if zoom < 1 else cv2.INTER_CUBIC
    return cv2.resize(page, (width, height), interpolation=interpolation).astype(np.float32)


def _local_median(grey: Grey, side: int = 32, window: int = 17) -> Grey:
    """Return the median around each point, over half of the longer side in both directions."""
    small = _shrink(grey, side)
    margin = window // 2
    padded = cv2.copyMakeBorder(small, margin, margin, margin, margin, cv2.BORDER_REFLECT)
    median = cv2.medianBlur(padded.clip(0, WHITE).astype(np.uint8), window)[margin:-margin, margin:-margin]
    return _enlarge(median.astype(np.float32), grey.shape)


def _shrink(grey: Grey, side: int) -> Grey:
    zoom = min(1.0, side / max(grey.shape))
    height, width = (max(3, round(length * zoom)) for length in grey.shape)
    return np.asarray(cv2.resize(grey, (width, height), interpolation=cv2.INTER_AREA), np.float32)


def _enlarge(small: Grey, shape: tuple[int, ...]) -> Grey:
    return np.asarray(cv2.resize(small, (shape[1], shape[0]), interpolation=cv2.INTER_LINEAR), np.float32)


def _estimate_contrast(grey: Grey) -> tuple[Grey, float]:
    """Return the contrast of the ink and the noise of the paper."""
    upper_bound = _max_paper_level(grey)
    paper: Grey = upper_bound
    for _ in range(PAPER_ITERATIONS):
        bare = _find_bare_paper(_contrast(grey, paper))
        paper = np.minimum(_local_mean(grey, bare), upper_bound, dtype=np.float32)
    contrast = _contrast(grey, paper)
    return contrast, _robust_std(contrast[bare] if bare.any() else contrast)


def _contrast(grey: Grey, paper: Grey | np.float32) -> Grey:
    """Return the fraction by which a page is darker than its paper."""
    return np.asarray((paper - grey) / np.maximum(paper, MIN_PAPER_LEVEL), np.float32)


def _max_paper_level(grey: Grey) -> Grey:
    """Return the page without its strokes: an upper bound of the paper's brightness, shadows included.

    A stroke is dark and narrow, or dark, of any width, and away from the edges of the page.
    """
    small = _shrink(_blur(grey, max(0.6, max(grey.shape) / 200)), PAPER_MAP_SIDE_PX)
    return _enlarge(np.maximum(_remove_narrow(small), _remove_enclosed(small)), grey.shape)


def _remove_narrow(small: Grey) -> Grey:
    """Remove what is dark and narrow, by morphological closing.

    The page is continued beyond its edges with its gradient, or a shaded corner would count as ink.
    """
    reach = int(MAX_STROKE_FRACTION * max(small.shape) / 2)
    margins = [(min(reach, side - 1),) * 2 for side in small.shape]
    padded = np.pad(small, margins, mode="reflect", reflect_type="odd")
    element = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach + 1,) * 2)
    closed = np.asarray(cv2.morphologyEx(padded, cv2.MORPH_CLOSE, element), np.float32)
    (top, _), (left, _) = margins
    return closed[top : top + small.shape[0], left : left + small.shape[1]]


def _remove_enclosed(small: Grey) -> Grey:
    """Remove what is dark and away from the edges of the page, by reconstruction by erosion."""
    filled = np.full_like(small, np.inf)
    filled[[0, -1]], filled[:, [0, -1]] = small[[0, -1]], small[:, [0, -1]]
    while True:
        lower = np.maximum(cv2.erode(filled, np.ones((3, 3), np.uint8)), small)
        if (lower == filled).all():
            return filled
        filled = lower


def _find_bare_paper(contrast: Grey) -> NDArray[np.bool_]:
    """Return where the page shows bare paper, at least a pixel away from any ink."""
    smooth = _blur(contrast, 1.0)
    median = float(np.median(smooth[::2, ::2]))
    bare = smooth < median + max(BARE_PAPER_SIGMAS * _robust_std(smooth), BARE_PAPER_CONTRAST)
    return cv2.erode(bare.astype(np.uint8), np.ones((3, 3), np.uint8)).astype(bool)


def _robust_std(values: Grey) -> float:
    """Return the standard deviation of noise that has outliers, estimated on a sample."""
    sample = values.ravel()[:: -(-values.size // NOISE_SAMPLES)]
    return SIGMA_PER_MAD * float(np.median(np.abs(sample - np.median(sample))))


def _local_mean(grey: Grey, bare: NDArray[np.bool_]) -> Grey:
    """Return the mean of the bare paper around each point, from further away if there is none nearby."""
    weight = bare.astype(np.float32)
    total, weights = _shrink(grey * weight, PAPER_MAP_SIDE_PX), _shrink(weight, PAPER_MAP_SIDE_PX)
    sigma = PAPER_SIGMA_FRACTION * max(total.shape)
    near_total, near_weights = _blur(total, sigma), _blur(weights, sigma)
    far_total, far_weights = _blur(total, 4 * sigma), _blur(weights, 4 * sigma)
    page_mean = float(total.sum()) / max(float(weights.sum()), 1.0)
    far = (far_total + 0.02 * page_mean) / (far_weights + 0.02)
    return _enlarge(np.asarray((near_total + 0.1 * far) / (near_weights + 0.1), np.float32), grey.shape)


def _blur(values: Grey, sigma: float) -> Grey:
    return np.asarray(cv2.GaussianBlur(values, (0, 0), sigma, borderType=cv2.BORDER_REPLICATE), np.float32)
