"""A grey page ► how much ink lies on each of its points, whatever the light, the shadow and the paper.

Ink is what differs from the paper *around* it, as a share of the paper's own light, so that a stroke in the
shadow counts as much as one in the sun. Which of the two sides is the ink is decided by the picture: strokes
are the smaller part of any neighbourhood.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

Grey = NDArray[np.float32]

WHITE = 255.0
LEVELS = 256
DARKEST_PAPER = 16.0  # grey levels; below, a share of the paper's light would be a share of noise
BROADEST_STROKE = 0.25  # of the longer side; what is dark over more than this is shadow, table or edge
ROUNDS = 2  # of finding paper and ink in turns; a third changes nothing that is seen
QUIET = 2.5  # times the noise; what differs from the paper by less is paper
FAINTEST = 0.02  # of the paper's light, likewise
SMALL = 64  # pixels of the longer side, in which the paper's light is looked for
AROUND = 1 / 30  # of the longer side, standard deviation: how near bare paper is to tell of the paper's light
EVEN = 0.5  # share of a page, and of its edge, that has one grey level where its paper has no light and shade
SAMPLE = 5_000  # points that tell how much noise there is
SIGMA_OF_MAD = 1.4826  # standard deviation of normal noise, over its median absolute deviation


@dataclass(frozen=True, slots=True, eq=False)
class Ink:
    """How much ink lies on each point of a page.

    Attributes
    ----------
    contrast
        float32, shape (H, W): share of the paper's light that is missing, about 0 on paper, at most 1. Noise
        swings to both sides of 0.
    smooth
        The same, smoothed over a pixel or so: for finding strokes, not for showing them.
    noise
        Standard deviation of `contrast` on bare paper.
    zoom
        Pixels of `contrast` for one of the page.
    """

    contrast: Grey
    smooth: Grey
    noise: float
    zoom: float


def find_ink(page: NDArray[np.uint8], *, longest: int, shortest: int) -> Ink:
    """Find the ink of a page.

    Parameters
    ----------
    page
        uint8, shape (height, width): 0 black to 255 white; dark writing on light or light on dark.
    longest, shortest
        Between these the longer side of the page is brought, in pixels; a page that lies between stays as
        it is.
    """
    zoom = _zoom(page.shape, longest, shortest)
    grey = _resize(page, zoom)
    even = _even_paper(page)
    dark_on_light = is_dark_on_light(grey) if even is None else page.mean() <= even
    if not dark_on_light:
        grey, even = WHITE - grey, None if even is None else WHITE - even
    contrast, noise = _contrast(grey) if even is None else (_missing(grey, np.float32(even)), 0.0)
    smooth = _blurred(contrast, 1.2 if zoom >= 2 else 1.0)
    return Ink(contrast, smooth, noise, zoom)


def _even_paper(page: NDArray[np.uint8]) -> float | None:
    """Return the one grey level of the paper, as drawing programs leave it; None where it has more."""
    counts = cv2.calcHist([page], [0], None, [LEVELS], [0, LEVELS])
    level = int(counts.argmax())
    edges = (page[0], page[-1], page[:, 0], page[:, -1])
    around = sum(int((edge == level).sum()) for edge in edges) / sum(map(len, edges))
    return float(level) if min(around, counts.max() / page.size) >= EVEN else None


def is_dark_on_light(page: NDArray[Any]) -> bool:
    """Return whether the strokes of a page, (height, width) black to white, are darker than its paper."""
    grey = page.astype(np.float32)
    deviation = _blurred(grey - _median_around(grey), 1.0)
    return float((deviation**3).sum()) <= 0


def _zoom(shape: tuple[int, ...], longest: int, shortest: int) -> float:
    side = max(shape)
    if side > longest:
        return longest / side
    return float(-(-shortest // side)) if side < shortest else 1.0


def _resize(page: NDArray[np.uint8], zoom: float) -> Grey:
    if zoom == 1:
        return page.astype(np.float32)
    height, width = (max(1, round(side * zoom)) for side in page.shape)
    how = cv2.INTER_AREA if zoom < 1 else cv2.INTER_CUBIC
    return cv2.resize(page, (width, height), interpolation=how).astype(np.float32)


def _median_around(grey: Grey, side: int = 32, window: int = 17) -> Grey:
    """Return the median of each point's surroundings: half of the longer side to and fro."""
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


def _contrast(grey: Grey) -> tuple[Grey, float]:
    """Return the ink's contrast, and the noise of the paper."""
    brightest = _brightest(grey)
    paper: Grey = brightest
    for _ in range(ROUNDS):
        bare = _is_bare(_missing(grey, paper))
        near = _mean_where(grey, bare)
        paper = np.minimum(near, brightest, dtype=np.float32)
    contrast = _missing(grey, paper)
    return contrast, _deviation(contrast[bare] if bare.any() else contrast)


def _missing(grey: Grey, paper: Grey | np.float32) -> Grey:
    """Return the share of the paper's light that is missing."""
    return np.asarray((paper - grey) / np.maximum(paper, DARKEST_PAPER), np.float32)


def _brightest(grey: Grey) -> Grey:
    """Return the page without its strokes, as bright as the paper can be; shadows stay.

    A stroke is dark and narrow, or dark, of any breadth, and away from the page's edges.
    """
    small = _shrink(_blurred(grey, max(0.6, max(grey.shape) / 200)), SMALL)
    return _enlarge(np.maximum(_closed(small), _filled(small)), grey.shape)


def _closed(small: Grey) -> Grey:
    """Return the page without what is dark and narrow.

    Beyond its edges it goes on getting darker or lighter, or corners in the shade would count as ink.
    """
    reach = int(BROADEST_STROKE * max(small.shape) / 2)
    margins = [(min(reach, side - 1),) * 2 for side in small.shape]
    beyond = np.pad(small, margins, mode="reflect", reflect_type="odd")
    element = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach + 1,) * 2)
    closed = np.asarray(cv2.morphologyEx(beyond, cv2.MORPH_CLOSE, element), np.float32)
    (above, _), (before, _) = margins
    return closed[above : above + small.shape[0], before : before + small.shape[1]]


def _filled(small: Grey) -> Grey:
    """Return the page without what is dark and away from its edges: reconstruction by erosion."""
    filled = np.full_like(small, np.inf)
    filled[[0, -1]], filled[:, [0, -1]] = small[[0, -1]], small[:, [0, -1]]
    while True:
        lower = np.maximum(cv2.erode(filled, np.ones((3, 3), np.uint8)), small)
        if (lower == filled).all():
            return filled
        filled = lower


def _is_bare(contrast: Grey) -> NDArray[np.bool_]:
    """Return where the page shows bare paper, with a pixel's distance from any ink."""
    smooth = _blurred(contrast, 1.0)
    middle = float(np.median(smooth[::2, ::2]))
    bare = smooth < middle + max(QUIET * _deviation(smooth), FAINTEST)
    return cv2.erode(bare.astype(np.uint8), np.ones((3, 3), np.uint8)).astype(bool)


def _deviation(values: Grey) -> float:
    """Return the standard deviation of noise with outliers; a sample of the values tells."""
    sample = values.ravel()[:: -(-values.size // SAMPLE)]
    return SIGMA_OF_MAD * float(np.median(np.abs(sample - np.median(sample))))


def _mean_where(grey: Grey, bare: NDArray[np.bool_]) -> Grey:
    """Return the mean of bare paper around each point; from further away where there is none near."""
    weight = bare.astype(np.float32)
    total, weights = _shrink(grey * weight, SMALL), _shrink(weight, SMALL)
    sigma = AROUND * max(total.shape)
    near_total, near_weights = _blurred(total, sigma), _blurred(weights, sigma)
    far_total, far_weights = _blurred(total, 4 * sigma), _blurred(weights, 4 * sigma)
    anywhere = float(total.sum()) / max(float(weights.sum()), 1.0)
    far = (far_total + 0.02 * anywhere) / (far_weights + 0.02)
    return _enlarge(np.asarray((near_total + 0.1 * far) / (near_weights + 0.1), np.float32), grey.shape)


def _blurred(values: Grey, sigma: float) -> Grey:
    return np.asarray(cv2.GaussianBlur(values, (0, 0), sigma, borderType=cv2.BORDER_REPLICATE), np.float32)
