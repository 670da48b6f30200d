"""Layouts of composed pages: what is written where."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise

import numpy as np

from digit_recognizer.synthetic.draft import Draft, put_inside
from digit_recognizer.synthetic.fonts import print_text
from digit_recognizer.synthetic.glyphs import Hand
from digit_recognizer.synthetic.ink import Patch, draw_curves
from digit_recognizer.synthetic.rules import draw_box, draw_grid, draw_rule, sample_rule_pen
from digit_recognizer.synthetic.scribbles import draw_scribble, sample_word, write_word
from digit_recognizer.synthetic.sheet import Box, Run, put_run
from digit_recognizer.synthetic.writing import sample_digits, sample_number, write_plain_one, write_run

Rng = np.random.Generator

MAX_LINES = 8
P_PLAIN_ONE = 0.15  # of single digits
MAX_CHARACTERS = 70  # of a page, about


def _single(draft: Draft) -> None:
    """Write one digit anywhere."""
    if draft.rng.random() < P_PLAIN_ONE:
        run = write_plain_one(draft.em, draft.hand, draft.rng)
    else:
        run = write_run(sample_digits(draft.rng, 1, 1), draft.em, draft.hand, draft.rng)
    cut = 0.25 * draft.em if draft.rng.random() < 0.25 else -1.0
    put_inside(draft, run, draft.area.inset(-cut, -cut))


def _number(draft: Draft) -> None:
    """Write one number, with a period, an underline or a curve below in some."""
    rng = draft.rng
    run = write_run(sample_number(rng), draft.em, draft.hand, rng, draft.area.width * 0.98)
    put_inside(draft, run, draft.area.inset(1, 1))
    if rng.random() < 0.3:
        _underline_last(draft)


def _underline_last(draft: Draft) -> None:
    """Draw a line by hand below the last number."""
    boxes, rng = draft.sheet.mark_boxes(), draft.rng
    if not boxes:
        return
    left, right = min(box.left for box in boxes), max(box.right for box in boxes)
    row = max(box.bottom for box in boxes) + draft.em * rng.uniform(-0.05, 0.3)
    columns = np.linspace(
        left - draft.em * rng.uniform(-0.3, 0.5), right + draft.em * rng.uniform(-0.3, 0.5), 5
    )
    curve = np.stack([columns, row + draft.em * rng.normal(0, 0.04, 5)], axis=1)
    draft.sheet.paste(draw_curves([curve], draft.hand.pen_px(draft.em)), 0, 0)


def _lines(draft: Draft) -> None:
    """Write lines of numbers, some with words among them."""
    rng, area = draft.rng, draft.area
    row = area.top + max(rng.uniform(-0.5, 1.0) * draft.em, rng.uniform(-0.6, 0.7) * area.height)
    pitch = draft.em * rng.uniform(1.25, 2.6)
    p_word = float(rng.choice([0.0, 0.0, 0.2, 0.5]))
    single_digits = rng.random() < 0.15
    for _ in range(int(rng.integers(1, MAX_LINES + 1))):
        row += pitch
        if row > area.bottom + 0.5 * draft.em or len(draft.sheet.marks) > MAX_CHARACTERS:
            break
        em, hand = draft.line_em(), draft.line_hand()
        column = area.left + rng.uniform(-0.4, 1.5) * em
        while column < area.right - 0.5 * em:
            if rng.random() < p_word:
                word = write_word(sample_word(rng), em * rng.uniform(0.8, 1.1), hand, rng)
                draft.sheet.paste(word, column - word.left, row)
                column += word.ink.shape[1] + em * rng.uniform(0.5, 1)
                continue
            text = sample_digits(rng, 1, 1) if single_digits else sample_number(rng)
            run = write_run(text, em, hand, rng, area.right - column + 0.3 * em)
            put_run(draft.sheet, run, column - run.left, row)
            column += run.right - run.left + em * rng.uniform(0.6, 2.5)
            if rng.random() < 0.25:
                break


def _table(draft: Draft) -> None:
    """Fill the cells of a table with numbers and some words."""
    rng, area, em = draft.rng, draft.area, draft.em
    width, height = em * rng.uniform(1.4, 6), em * rng.uniform(1.15, 2.4)
    widths = width * rng.uniform(0.7, 1.5, 1 + int(area.width / (0.7 * width)))
    columns = area.left + rng.uniform(-0.5, 0.5) * width + np.concatenate([[0], np.cumsum(widths)])
    rows = area.top + rng.uniform(-0.5, 0.5) * height + height * np.arange(2 + int(area.height / height))
    first = int(rng.integers(0, max(1, len(columns) // 2))), int(rng.integers(0, max(1, len(rows) // 2)))
    count = int(rng.integers(2, len(columns) + 1)), int(rng.integers(2, len(rows) + 1))
    if rng.random() < 0.5:  # all over the page
        first, count = (0, 0), (len(columns), len(rows))
    columns, rows = columns[first[0] :][: count[0]], rows[first[1] :][: count[1]]
    draw_grid(draft.sheet, columns.tolist(), rows.tolist(), em, rng)
    p_empty, p_word, align = (
        rng.uniform(0, 0.5),
        rng.choice([0.0, 0.1, 0.3]),
        str(rng.choice(["left", "right", "any"])),
    )
    for top in rows[:-1]:
        for left, right in pairwise(columns):
            cell = Box(left, top, right, top + height).inset(1, 1)
            if rng.random() < p_empty or len(draft.sheet.marks) > MAX_CHARACTERS or left > area.right:
                continue
            _fill_cell(draft, cell, align, is_word=rng.random() < p_word)


def _fill_cell(draft: Draft, cell: Box, align: str, *, is_word: bool) -> None:
    rng = draft.rng
    if is_word:
        word = sample_word(rng, 2, 6)
        if rng.random() < 0.5:
            patch = print_text(word, draft.hand.font, draft.em * rng.uniform(0.5, 0.9))
        else:
            patch = write_word(word, draft.em * 0.8, draft.hand, rng)
        if patch.ink.shape[1] < 1.1 * cell.width:
            draft.sheet.paste(patch, cell.left + 2 - patch.left, cell.bottom - 0.2 * cell.height)
        return
    em = min(draft.line_em(), cell.height * rng.uniform(0.8, 1.1))
    room = cell.width * rng.choice([0.95, 0.95, 1.15])
    run = write_run(sample_number(rng), em, draft.line_hand(), rng, room)
    shift = rng.normal(0, 0.08, 2) * em
    put_inside(
        draft, run, Box(cell.left + shift[0], cell.top + shift[1], cell.right + shift[0], cell.bottom), align
    )


def _comb(draft: Draft) -> None:
    """Write the digits of numbers into boxes, or between dividers."""
    rng, area, em = draft.rng, draft.area, draft.em
    width, height = em * rng.uniform(0.75, 1.4), em * rng.uniform(1.05, 1.7)
    gap = width * rng.uniform(0.1, 0.5) if rng.random() < 0.25 else 0.0
    tooth = rng.uniform(0.2, 0.6) if rng.random() < 0.25 else 1.0  # dividers that do not reach the top
    pen, dividers = sample_rule_pen(em, rng), sample_rule_pen(em, rng)
    top = area.top + rng.uniform(0, max(1.0, area.height - height))
    for _ in range(int(rng.integers(1, 5))):
        count = int(np.clip(area.width / (width + gap), 1, rng.integers(2, 13)))
        left = area.left + rng.uniform(-0.2, 1) * max(0.0, area.width - count * (width + gap))
        boxes = [
            Box(each, top, each + width, top + height) for each in left + np.arange(count) * (width + gap)
        ]
        outer = Box(left, top, boxes[-1].right, top + height)
        if gap:
            for box in boxes:
                draw_box(draft.sheet, box, pen)
        else:
            sides = draft.rng.random(2) < (0.85, 0.95)
            for row in np.array([outer.top, outer.bottom])[
                sides & ((tooth == 1.0) | np.array([False, True]))
            ]:
                draw_rule(draft.sheet, (outer.left, row), (outer.right, row), pen)
            for column in left + np.arange(count + 1) * width:
                draw_rule(
                    draft.sheet, (column, outer.bottom - tooth * height), (column, outer.bottom), dividers
                )
        _fill_boxes(draft, boxes)
        top += height * rng.uniform(1.0, 1.8)
        if top > area.bottom:
            break


def _fill_boxes(draft: Draft, boxes: list[Box]) -> None:
    """Write one number, a digit in each box, from some box on."""
    rng, hand = draft.rng, draft.line_hand()
    hand = replace(hand, aspect=hand.aspect * 0.9)
    first = int(rng.integers(0, len(boxes))) if rng.random() < 0.3 else 0
    patches: list[Patch] = []
    names, numbers, number = "", list[int](), 0
    for box in boxes[first:]:
        if rng.random() < 0.07:
            number += 1
            continue
        name = str(rng.choice(list(".,-/:"))) if names and rng.random() < 0.05 else sample_digits(rng, 1, 1)
        patch = hand.write(name, min(draft.em, box.height) * (1 + hand.size_spread * rng.normal()), hand, rng)
        column = (box.left + box.right - patch.ink.shape[1]) / 2 + rng.normal(0, 0.06) * box.width
        row = box.bottom - (box.height - draft.em) * rng.uniform(0.2, 0.8)
        patches.append(patch.moved(column, row))
        names, numbers = names + name, [*numbers, number]
    if patches:
        put_run(draft.sheet, Run(patches, names, numbers, is_printed=hand.is_printed), 0, 0)


def _form(draft: Draft) -> None:
    """Print words, and write numbers into the fields after them."""
    rng, area, em = draft.rng, draft.area, draft.em
    row, pitch = area.top + max(1.0 * em, rng.uniform(-0.6, 0.6) * area.height), em * rng.uniform(1.5, 2.6)
    kind, pen = rng.integers(4), sample_rule_pen(em, rng)
    left = area.left + rng.uniform(0, 0.5) * em
    middle = area.left + rng.uniform(0.2, 0.6) * area.width
    while row < area.bottom + 0.3 * em and len(draft.sheet.marks) < MAX_CHARACTERS:
        label = sample_word(rng, 2, 9) + str(rng.choice(["", ":", "."]))
        text = print_text(label, draft.hand.font, em * rng.uniform(0.45, 0.75))
        draft.sheet.paste(text, left - text.left, row, is_printed=True)
        start = max(middle, left + text.ink.shape[1] + 0.3 * em)
        field = Box(start, row - 1.15 * em, start + em * rng.uniform(2, 7), row + 0.25 * em)
        if kind == 0:
            draw_box(draft.sheet, field, pen)
        elif kind < 3:
            draw_rule(draft.sheet, (field.left, row + 0.1 * em), (field.right, row + 0.1 * em), pen)
        if rng.random() < 0.85:
            run = write_run(
                sample_number(rng), min(draft.line_em(), 1.2 * em), draft.hand, rng, area.right - start
            )
            put_run(
                draft.sheet, run, start - run.left + rng.uniform(0, 0.6) * em, row + rng.normal(0, 0.06) * em
            )
            if rng.random() < 0.25:
                unit = print_text(sample_word(rng, 2, 3), draft.hand.font, em * 0.6)
                draft.sheet.paste(unit, start + run.right - run.left + 0.8 * em, row, is_printed=True)
        row += pitch


def _column(draft: Draft) -> None:
    """Write numbers below each other, with a sum below a line."""
    rng, area, em = draft.rng, draft.area, draft.em
    pitch, right = em * rng.uniform(1.1, 1.7), area.right - rng.uniform(0, 0.5) * em
    while right > area.left + 2 * em and len(draft.sheet.marks) < MAX_CHARACTERS:
        row, widest = area.top + max(rng.uniform(0.9, 2) * em, rng.uniform(-0.5, 0.5) * area.height), em
        length = int(rng.integers(1, 5))
        rows_left = int(rng.integers(1, 7))
        while row < area.bottom and rows_left >= 0:
            text = str(rng.choice(["", "", "", "+", "-"])) + sample_digits(rng, 1, length)
            if rng.random() < 0.15:
                text = sample_number(rng)
            run = write_run(text, em * rng.uniform(0.92, 1.08), draft.hand, rng, right - area.left)
            put_run(draft.sheet, run, right - run.right + rng.normal(0, 0.08) * em, row)
            widest = max(widest, run.right - run.left)
            if rows_left == 1 or rng.random() < 0.08:
                ends = np.array(
                    [[right - widest - 0.3 * em, row + 0.2 * em], [right + 0.2 * em, row + 0.2 * em]]
                )
                curve = ends + rng.normal(0, 0.05 * em, (2, 2))
                draft.sheet.paste(draw_curves([curve], draft.hand.pen_px(em)), 0, 0)
            row, rows_left = row + pitch, rows_left - 1
        right -= widest + em * rng.uniform(0.8, 3)


def _cheque(draft: Draft) -> None:
    """Write an amount on patterned paper: signs around it, cents raised and underlined."""
    rng, em, hand = draft.rng, draft.em, replace(draft.hand, is_printed=False)
    draft.sheet.is_patterned = rng.random() < 0.85
    text = (
        sample_digits(rng, 1, 3)
        + str(rng.choice(["", ".", ","]))
        + sample_digits(rng, 0, 3)
        + str(rng.choice(["", "", ".", ",", "-"]))
    )
    run = write_run(text, em, hand, rng, draft.area.width * 0.98)
    if rng.random() < 0.35:
        run = _add_cents(run, em, hand, rng)
    put_inside(draft, run, draft.area.inset(1, 1))
    marks = draft.sheet.mark_boxes()
    if not marks:
        return
    row = max(box.bottom for box in marks)
    for column, side in ((min(box.left for box in marks), -1), (max(box.right for box in marks), 1)):
        if rng.random() < 0.4:
            sign = draw_scribble(em, hand, rng, "sign")
            shift = em * rng.uniform(0.15, 0.6)
            draft.sheet.paste(sign, column - shift - sign.ink.shape[1] if side < 0 else column + shift, row)
    if rng.random() < 0.3:
        _underline_last(draft)


def _add_cents(run: Run, em: float, hand: Hand, rng: Rng) -> Run:
    """Add cents, small and raised, with a line below, to a number."""
    size = em * rng.uniform(0.45, 0.75)
    cents = write_run("00" if rng.random() < 0.3 else sample_digits(rng, 2, 2), size, hand, rng)
    column, row = run.right + em * rng.uniform(0.05, 0.3), -em + size * rng.uniform(0.7, 1.1)
    moved = [patch.moved(column - cents.left, row) for patch in cents.patches]
    ends = np.array([[column, row + 0.2 * size], [column + cents.right - cents.left, row + 0.2 * size]])
    ends += rng.normal(0, 0.06 * size, (2, 2))
    pitch = np.array([0, 0.15 * size])
    lines = [draw_curves([ends + line * pitch], hand.pen_px(size)) for line in range(rng.integers(0, 3))]
    last = run.numbers[-1]
    return Run([*run.patches, *moved], run.names + cents.names, [*run.numbers, *([last] * len(moved))],
               [*run.extras, *lines])  # fmt: skip


LAYOUTS: dict[str, tuple[float, Callable[[Draft], None]]] = {
    "single": (0.1, _single),
    "number": (0.14, _number),
    "lines": (0.2, _lines),
    "table": (0.17, _table),
    "comb": (0.14, _comb),
    "form": (0.08, _form),
    "column": (0.08, _column),
    "cheque": (0.09, _cheque),
}  # weight, and how numbers are written on a page
LAYOUT_WEIGHTS = np.array([weight for weight, _ in LAYOUTS.values()])
LAYOUT_WEIGHTS /= LAYOUT_WEIGHTS.sum()


def draw_layout(draft: Draft, name: str | None = None) -> None:
    """Write numbers on a page; `name` is a key of `LAYOUTS`, by default any by their weights."""
    name = name or list(LAYOUTS)[draft.rng.choice(len(LAYOUTS), p=LAYOUT_WEIGHTS)]
    LAYOUTS[name][1](draft)
