"""How a sheet comes to the computer: photographed, scanned or as a PDF, straight or rotated."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from io import BytesIO

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from _sheets import Corners, Sheet, WrittenNumber
from _synthetic_pages import MAX_SHADE, on_paper
from digit_recognizer.imaging import decode

Page = NDArray[np.uint8]

LIGHT_PAPER = ("white", "grey")
DESK_LEVELS = (20, 90)  # grey levels
DESK_GRAIN = 8.0  # grey levels, deviation
DESK_FRACTION = 0.5  # of photos that show the desk around the sheet
MARGIN_FRACTION = 0.06  # of the sheet's side: desk, or the scanner's lid, around it
PERSPECTIVE_FRACTION = 0.03  # of the sheet's side, by which a corner moves in a photo
SHADOW_RANGE = (0.55, 0.85)  # of the light that remains
SHADOW_EDGE_RANGE_PX = (3.0, 40.0)
JPEG_QUALITY_RANGE = (60, 95)
BLACK_BORDER_FRACTION = 0.3  # of scans with a black border, where others have the white lid
WHITE = 255
PDF_DPI = 150  # of the sheet on its page; Pillow puts a pixel on 72/150 points


@dataclass(frozen=True, slots=True, eq=False)
class View:
    """A picture of a sheet, and its numbers with their corners in the picture."""

    page: Page
    numbers: list[WrittenNumber]


def plain_page(sheet: Sheet, _degrees: float, rng: np.random.Generator) -> View:
    """Return the sheet on any paper, as a picture of exactly this sheet."""
    return View(on_paper(sheet.ink, rng), sheet.numbers)


def as_photo(sheet: Sheet, degrees: float, rng: np.random.Generator) -> View:
    """Return a photo: uneven light, a shadow, perspective; on a dark desk, or paper up to the edges."""
    shape = _shape_around(sheet.ink.shape, degrees)
    desk = _desk(shape, rng) if rng.random() < DESK_FRACTION else None
    ink = sheet.ink if desk is not None else np.pad(sheet.ink, max(shape) // 2)
    page = _shadowed(on_paper(ink, rng, MAX_SHADE / 2, LIGHT_PAPER), rng)
    around = np.zeros(shape, np.uint8) if desk is None else desk
    view = _moved(page, sheet, degrees, PERSPECTIVE_FRACTION, around, rng)
    return replace(view, page=_compressed(view.page, rng))


def as_scan(sheet: Sheet, degrees: float, rng: np.random.Generator) -> View:
    """Return a scan: white paper, rotated on a white lid or in a black border."""
    page = on_paper(sheet.ink, rng, 0.0, ("white",))
    border = 0 if rng.random() < BLACK_BORDER_FRACTION else WHITE
    lid = np.full(_shape_around(page.shape, degrees), border, np.uint8)
    view = _moved(page, sheet, degrees, 0.0, lid, rng)
    return replace(view, page=_compressed(view.page, rng))


def as_pdf(sheet: Sheet, degrees: float, rng: np.random.Generator) -> View:
    """Return the rendered page of a PDF that holds the image of the sheet, clean black on white."""
    clean = np.asarray(WHITE - sheet.ink, np.uint8)
    lid = np.full(_shape_around(clean.shape, degrees), WHITE, np.uint8)
    view = _moved(clean, sheet, degrees, 0.0, lid, rng)
    file = BytesIO()
    Image.fromarray(view.page).save(file, "PDF", resolution=PDF_DPI)
    page = decode(file.getvalue())
    zoom = np.array(page.shape[::-1]) / view.page.shape[::-1]
    return View(page, [replace(number, corners=number.corners * zoom) for number in view.numbers])


VIEWS: dict[str, Callable[[Sheet, float, np.random.Generator], View]] = {
    "photo": as_photo,
    "scan": as_scan,
    "PDF": as_pdf,
}


def _moved(
    page: Page, sheet: Sheet, degrees: float, perspective: float, around: Page, rng: np.random.Generator
) -> View:
    """Rotate a page about its middle and lay it on a larger background.

    The page may have a margin on all sides that the sheet has not.
    """
    height, width = page.shape
    margin = np.array([width - sheet.ink.shape[1], height - sheet.ink.shape[0]]) / 2
    shift = (np.array(around.shape[::-1]) - (width, height)) / 2
    rotation = np.vstack([cv2.getRotationMatrix2D((width / 2, height / 2), degrees, 1.0), [0, 0, 1]])
    square = np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float32)
    bent = square + perspective * min(sheet.ink.shape) * rng.uniform(-1, 1, (4, 2)).astype(np.float32)
    matrix = _shift(shift) @ rotation @ cv2.getPerspectiveTransform(square, np.asarray(bent, np.float32))
    size = around.shape[1], around.shape[0]
    moved = cv2.warpPerspective(page, matrix, size, borderMode=cv2.BORDER_REPLICATE)
    inside = cv2.warpPerspective(np.ones(page.shape, np.float32), matrix, size)
    shown = np.asarray(np.rint(moved * inside + around * (1 - inside)), np.uint8)
    return View(
        shown, [replace(each, corners=_through(matrix, each.corners + margin)) for each in sheet.numbers]
    )


def _through(matrix: NDArray[np.float64], corners: Corners) -> Corners:
    return np.asarray(cv2.perspectiveTransform(corners[None], matrix)[0], np.float64)


def _shift(columns_and_rows: NDArray[np.float64]) -> NDArray[np.float64]:
    matrix = np.eye(3)
    matrix[:2, 2] = columns_and_rows
    return matrix


def _shape_around(shape: tuple[int, ...], degrees: float) -> tuple[int, int]:
    """Return the rows and columns of a picture that shows a rotated sheet with some margin."""
    sine, cosine = abs(np.sin(np.radians(degrees))), abs(np.cos(np.radians(degrees)))
    height, width = shape
    margin = 2 * MARGIN_FRACTION * min(shape)
    return round(height * cosine + width * sine + margin), round(width * cosine + height * sine + margin)


def _desk(shape: tuple[int, int], rng: np.random.Generator) -> Page:
    """Return a dark desk with grain along its columns."""
    level = rng.uniform(*DESK_LEVELS)
    grain = DESK_GRAIN * (rng.standard_normal((1, shape[1])) + 0.5 * rng.standard_normal(shape))
    return np.asarray((level + grain).clip(0, 255), np.uint8)


def _shadowed(page: Page, rng: np.random.Generator) -> Page:
    """Darken one side of a straight, soft edge."""
    angle = rng.uniform(0, 2 * np.pi)
    rows, columns = (np.arange(length) - length * rng.uniform(0.25, 0.75) for length in page.shape)
    distance = rows[:, None] * np.sin(angle) + columns[None] * np.cos(angle)
    lit = (distance / rng.uniform(*SHADOW_EDGE_RANGE_PX)).clip(-0.5, 0.5) + 0.5
    light = 1 - (1 - rng.uniform(*SHADOW_RANGE)) * (1 - lit)
    return np.asarray((page * light).clip(0, 255), np.uint8)


def _compressed(page: Page, rng: np.random.Generator) -> Page:
    file = BytesIO()
    Image.fromarray(page).save(file, "JPEG", quality=int(rng.integers(*JPEG_QUALITY_RANGE)))
    return np.asarray(Image.open(file))
