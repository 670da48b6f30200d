"""A page at work, and how writing is placed on it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from digit_recognizer.synthetic.glyphs import Glyphs, Hand, sample_hand
from digit_recognizer.synthetic.ink import Patch
from digit_recognizer.synthetic.scribbles import draw_scribble
from digit_recognizer.synthetic.sheet import Box, Run, Sheet, put_run

Rng = np.random.Generator

P_OTHER_HAND = 0.15  # lines in another hand than that of the page
SIZE_SIGMA = 0.1  # of the height of lines of a page
PLACES_TRIED = 6  # for a mark among others


@dataclass(slots=True, eq=False)
class Draft:
    """A page at work: the sheet, its visible part without desk, the height of digits in pixels, the hand."""

    sheet: Sheet
    area: Box
    em: float
    hand: Hand
    glyphs: Glyphs
    rng: Rng

    def line_hand(self) -> Hand:
        """Return the hand of the page, or now and then another."""
        return sample_hand(self.glyphs, self.rng) if self.rng.random() < P_OTHER_HAND else self.hand

    def line_em(self) -> float:
        """Return the height of the digits of a line."""
        return max(4.0, self.em * float(np.exp(self.rng.normal(0, SIZE_SIGMA))))


def put_inside(draft: Draft, run: Run, box: Box, align: str | None = None) -> None:
    """Write a run in a box: at the left, the right, or anywhere; around its middle if it is too large."""
    rng = draft.rng
    spare_columns, spare_rows = box.width - (run.right - run.left), box.height - (run.bottom - run.top)
    along = {"left": 0.0, "right": 1.0}.get(align or "", float(rng.random()))
    column = box.left - run.left + (along if spare_columns > 0 else 0.5) * spare_columns
    row = box.top - run.top + (rng.random() if spare_rows > 0 else 0.5) * spare_rows
    put_run(draft.sheet, run, column, row)


def put_in_free_place(draft: Draft, patch: Patch, *, is_printed: bool = False) -> bool:
    """Put a non-digit where nothing else is, possibly cut by the edge; return whether there was a place."""
    rng, area = draft.rng, draft.area
    height, width = patch.ink.shape
    for _ in range(PLACES_TRIED):
        left = area.left - 0.3 * width + rng.random() * (area.width - 0.4 * width)
        top = area.top - 0.3 * height + rng.random() * (area.height - 0.4 * height)
        if draft.sheet.is_free(Box(left - 2, top - 2, left + width + 2, top + height + 2)):
            draft.sheet.paste(patch, left - patch.left, top - patch.top, is_printed=is_printed)
            return True
    return False


def scatter(draft: Draft, count: int, kind: str | None = None) -> None:
    """Put non-digits where nothing else is."""
    for _ in range(count):
        em = draft.em * np.exp(draft.rng.uniform(-0.7, 0.5))
        hand = draft.line_hand()
        patch = draw_scribble(float(np.clip(em, 5, 190)), hand, draft.rng, kind)
        put_in_free_place(draft, patch, is_printed=draft.rng.random() < 0.3)
