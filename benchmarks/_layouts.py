"""Sheets with numbers as people fill them in: forms, tables, comb fields, boxes, margins, notes, signs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import cv2
import numpy as np
from numpy.typing import NDArray

from _non_digits import WORDS
from _sheets import Hand, Sheet
from _synthetic_pages import MAX_NOISE_SIGMA
from _views import View, as_photo, plain_page
from digit_recognizer.digits import INK

Page = NDArray[np.uint8]

FORM_ROWS, FORM_COLUMNS = 14, 2
FORM_TITLES = ("Delivery note", "Order form", "Monthly report", "Mark sheet", "Invoice")
FONTS = ("DejaVuSans", "DejaVuSans-Bold", "DejaVuSerif", "STIXGeneral", "cmr10")
HEIGHT_RANGE_PX = (24.0, 44.0)  # of digits
PRINT_RANGE = (0.6, 1.0)  # font size, of a digit's height
ROW_RANGE = (1.9, 2.6)  # between baselines, of a digit's height
RULE_LEVELS = (90, 256)  # ink of printed rules
THICKNESSES_PX = (1, 4)
MAX_CHARACTERS = 6  # of a number on a form
NOTE_LEVELS = (170, 215)  # grey of yellow paper: luminance of (225, 205, 90) and similar
NOTE_DESK_LEVELS = (15, 60)
LINE_LENGTH_RANGE = (0.05, 1.0)  # of the picture's side
LINE_CONTRAST_RANGE = (0.3, 1.0)  # of the way from the paper to the opposite end


def number_text(rng: np.random.Generator, decimals: bool = True) -> str:
    """Return 1 to 5 digits; with `decimals`, a third with a point or comma, a tenth negative."""
    whole = str(rng.integers(0, 10 ** int(rng.integers(1, 6 if not decimals else 5))))
    if not decimals:
        return whole
    kind = rng.random()
    if kind < 0.33:
        places = int(rng.integers(1, 3))
        tail = "".join(map(str, rng.integers(0, 10, places)))
        return f"{whole[: MAX_CHARACTERS - places - 1]}{rng.choice(['.', ','])}{tail}"
    return f"-{whole}" if kind < 0.43 else whole


def signed_text(rng: np.random.Generator) -> str:
    """Return a number with at least one separator: 13.5, -5, 3.50, 1,234, 12/05, 10:30, +7."""
    a, b, c = (int(rng.integers(1, 10**power)) for power in (1, 2, 3))
    forms = (f"{b}.{a}", f"{b}.{b:02d}", f"-{b}", f"-{a}.{a}", f"{a},{c:03d}", f"{b},{a}", f"{b}/{a}")
    return str(rng.choice([*forms, f"{a}:{b:02d}", f"+{a}"]))


def form(hand: Hand, rng: np.random.Generator) -> Sheet:
    """Return a form: a printed title, 14 rows with a printed word and two numbers, often with rules."""
    height = rng.uniform(*HEIGHT_RANGE_PX)
    pitch = height * rng.uniform(*ROW_RANGE)
    label_width, column = height * 6, height * 8.5
    lefts = [height + label_width + place * column for place in range(FORM_COLUMNS)]
    right, first = lefts[-1] + column, 2 * pitch
    sheet = Sheet(round(first + (FORM_ROWS + 1) * pitch), round(right + height), hand, rng)
    name, size = str(rng.choice(FONTS)), round(height * rng.uniform(*PRINT_RANGE))
    level, thickness = int(rng.integers(*RULE_LEVELS)), int(rng.integers(*THICKNESSES_PX))
    sheet.print(str(rng.choice(FORM_TITLES)), height, pitch, round(1.2 * size), name, INK)
    style = str(rng.choice(["none", "under rows", "grid"]))
    for row in range(FORM_ROWS):
        baseline = first + (row + 0.7) * pitch
        sheet.print(str(rng.choice(WORDS)), height, baseline, size, name, int(rng.integers(120, 256)))
        for left in lefts:
            start = left + height * rng.uniform(0.3, 1.0)
            sheet.write(number_text(rng), start, baseline, height, row)
        if style == "under rows":
            below = baseline + 0.22 * pitch
            sheet.rule((height, below), (right, below), thickness, level)
    if style == "grid":
        rows = first + pitch * np.arange(FORM_ROWS + 1)
        _grid(sheet, [height / 2, *lefts, right], rows, thickness, level)
    return sheet


def ruled_table(hand: Hand, rng: np.random.Generator) -> Sheet:
    """Return a table with ruled cells, sometimes with double lines, and a number in each."""
    height = rng.uniform(*HEIGHT_RANGE_PX)
    rows, columns = int(rng.integers(3, 9)), int(rng.integers(2, 6))
    pitch, width = height * rng.uniform(1.6, 2.4), height * rng.uniform(4.5, 6)
    margin = height * rng.uniform(0.2, 2)
    size = [round(2 * margin + count * step) for count, step in ((rows, pitch), (columns, width))]
    sheet = Sheet(size[0], size[1], hand, rng)
    for row in range(rows):
        for column in range(columns):
            left = margin + (column + rng.uniform(0.08, 0.2)) * width
            text = number_text(rng, decimals=False)[:4]
            sheet.write(text, left, margin + row * pitch + 0.5 * (pitch + height), height, row)
    level, thickness = int(rng.integers(*RULE_LEVELS)), int(rng.integers(*THICKNESSES_PX))
    offsets = (0, 2 * thickness + 2) if rng.random() < 0.3 else (0,)
    for offset in offsets:
        ends = [
            margin + step * np.arange(count + 1) + offset for count, step in ((columns, width), (rows, pitch))
        ]
        _grid(sheet, ends[0], ends[1], thickness, level)
    return sheet


def comb_field(hand: Hand, rng: np.random.Generator) -> Sheet:
    """Return a tightly cropped comb field: ten digits in boxes."""
    height = rng.uniform(*HEIGHT_RANGE_PX)
    side, margin = height * rng.uniform(1.35, 1.7), height * rng.uniform(0.05, 0.5)
    sheet = Sheet(round(2 * margin + 1.35 * side), round(2 * margin + 10 * side), hand, rng)
    top, bottom = margin, margin + 1.3 * side
    baseline = (top + bottom + height) / 2
    for place in range(10):
        left = margin + place * side + rng.uniform(0.2, 0.35) * side
        sheet.write(str(rng.integers(10)), left, baseline, height, 0)
    level, thickness = int(rng.integers(*RULE_LEVELS)), int(rng.integers(*THICKNESSES_PX))
    sheet.box(margin, top, margin + 10 * side, bottom, thickness, level)
    short = rng.uniform(0.3, 1) if rng.random() < 0.5 else 1  # dividers from the bottom
    for place in range(1, 10):
        column = margin + place * side
        sheet.rule((column, bottom - short * (bottom - top)), (column, bottom), thickness, level)
    return sheet


def boxed_number(hand: Hand, rng: np.random.Generator) -> Sheet:
    """Return two digits in a drawn box on an empty page."""
    height = rng.uniform(*HEIGHT_RANGE_PX)
    sheet = Sheet(round(6 * height), round(8 * height), hand, rng)
    left, baseline = height * rng.uniform(1.5, 4), height * rng.uniform(2.5, 4.5)
    end = sheet.write(str(rng.integers(10, 100)), left, baseline, height, 0)
    gaps = height * rng.uniform(0.25, 0.9, 4)
    thickness, level = int(rng.integers(2, 5)), int(rng.integers(160, 256))
    sheet.box(
        left - gaps[0], baseline - height - gaps[1], end + gaps[2], baseline + gaps[3], thickness, level
    )
    return sheet


def margin_page(hand: Hand, rng: np.random.Generator) -> Sheet:
    """Return lines of one or two numbers beside a margin line, half of them on ruled paper."""
    height = rng.uniform(*HEIGHT_RANGE_PX)
    rows, pitch = int(rng.integers(4, 9)), height * rng.uniform(1.7, 2.6)
    sheet = Sheet(round((rows + 1.5) * pitch), round(18 * height), hand, rng)
    level, thickness = int(rng.integers(*RULE_LEVELS)), int(rng.integers(*THICKNESSES_PX))
    line = height * rng.uniform(1, 3)
    sheet.rule((line, 0), (line, sheet.ink.shape[0]), thickness, level)
    is_ruled = rng.random() < 0.5
    for row in range(rows):
        baseline = (row + 1.4) * pitch
        end = sheet.write(number_text(rng), line + height * rng.uniform(0.4, 2), baseline, height, row)
        if rng.random() < 0.4:
            sheet.write(number_text(rng), end + height * rng.uniform(1.2, 2), baseline, height, row)
        if is_ruled:
            below = baseline + 0.1 * height
            sheet.rule((0, below), (sheet.ink.shape[1], below), 1, level // 2)
    return sheet


def signed_number(hand: Hand, rng: np.random.Generator) -> Sheet:
    """Return one number with separators or a sign on an empty page."""
    height = rng.uniform(*HEIGHT_RANGE_PX)
    sheet = Sheet(round(3 * height), round(9 * height), hand, rng)
    sheet.write(signed_text(rng), height * rng.uniform(0.5, 2), 2 * height, height, 0)
    return sheet


def two_rows(hand: Hand, rng: np.random.Generator) -> Sheet:
    """Return two rows of one number each, two to six digits."""
    height = rng.uniform(*HEIGHT_RANGE_PX)
    sheet = Sheet(round(6.5 * height), round(14 * height), hand, rng)
    for row, baseline in enumerate((2.3, 4.8)):
        text = "".join(map(str, rng.integers(0, 10, int(rng.integers(2, 7)))))
        sheet.write(text, height * rng.uniform(1, 5), baseline * height, height, row)
    return sheet


def note_on_desk(sheet: Sheet, degrees: float, rng: np.random.Generator) -> View:
    """Return a photo of a small yellow note, which is grey here, in the middle of a large dark desk."""
    ink = cv2.GaussianBlur(sheet.ink.astype(np.float32) / INK, (0, 0), 0.6)
    note = rng.uniform(*NOTE_LEVELS) * (1 - ink * rng.uniform(0.7, 1))
    height, width = sheet.ink.shape
    shape = round(height * rng.uniform(1.4, 2.5)), round(width * rng.uniform(1.4, 2.5))
    page = rng.uniform(*NOTE_DESK_LEVELS) + 4 * rng.standard_normal((1, shape[1])) + np.zeros(shape)
    middle = np.array(shape[::-1]) / 2
    matrix = cv2.getRotationMatrix2D((width / 2, height / 2), degrees, 1.0)
    matrix[:, 2] += middle - (width / 2, height / 2)
    size = shape[1], shape[0]
    inside = cv2.warpAffine(np.ones_like(ink), matrix, size)
    page = page * (1 - inside) + cv2.warpAffine(note.astype(np.float32), matrix, size) * inside
    page += rng.uniform(0, MAX_NOISE_SIGMA) * rng.standard_normal(shape)
    numbers = [replace(each, corners=each.corners @ matrix[:, :2].T + matrix[:, 2]) for each in sheet.numbers]
    return View(np.asarray(page.clip(0, 255), np.uint8), numbers)


def with_line(page: Page, rng: np.random.Generator) -> Page:
    """Draw one vertical or horizontal line of any length anywhere on a page, 1 to 3 pixels thick."""
    upright = rng.random() < 0.5
    length, across = page.shape if upright else page.shape[::-1]
    span = max(2, round(length * rng.uniform(*LINE_LENGTH_RANGE)))
    start, place = int(rng.integers(length - span + 1)), int(rng.integers(across))
    along, side = slice(start, start + span), slice(place, place + int(rng.integers(*THICKNESSES_PX)))
    paper = float(np.median(page))
    opposite = 0 if paper > 127 else 255
    level = round(paper + (opposite - paper) * rng.uniform(*LINE_CONTRAST_RANGE))
    lined = page.copy()
    lined[(along, side) if upright else (side, along)] = level
    return lined


# of each: how it is written, how it comes to the computer, and the largest rotation in degrees
LAYOUTS: dict[str, tuple[Callable[..., Sheet], Callable[..., View], float]] = {
    "tables": (ruled_table, plain_page, 0.0),
    "margins": (margin_page, plain_page, 0.0),
    "notes": (two_rows, note_on_desk, 8.0),
    "photographed-tables": (ruled_table, as_photo, 3.0),
}


def _grid(sheet: Sheet, columns: object, rows: object, thickness: int, level: int) -> None:
    across, down = np.asarray(columns), np.asarray(rows)
    for column in across:
        sheet.rule((column, down[0]), (column, down[-1]), thickness, level)
    for row in down:
        sheet.rule((across[0], row), (across[-1], row), thickness, level)
