"""Numbers as people write them: their text, and their characters one after the other."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from digit_recognizer.synthetic.glyphs import Hand
from digit_recognizer.synthetic.ink import INK_LEVEL, Curve, Patch, bend, draw_curves, smooth
from digit_recognizer.synthetic.sheet import Run

Rng = np.random.Generator

P_TOUCHING = (0.0, 0.15, 0.7)  # neighbours that touch, one of these in each run
TOUCHING_WEIGHTS = (0.4, 0.35, 0.25)
OVERLAP_RANGE = (-0.02, 0.25)  # of the height, between neighbours that touch
MAX_OVERLAP_FRACTION = 0.4  # of the narrower one's width, so that a 1 does not vanish in its neighbour
MAX_GAPS = (0.18, 0.45, 0.9)  # of the height, between neighbours that do not touch
GAP_WEIGHTS = (0.45, 0.35, 0.2)
MIN_GAP = 0.05
SPACE_RANGE = (0.7, 1.8)  # of the height, between numbers
BASELINE_SIGMA = 0.04  # of the height
SLOPE_SIGMA = 0.025  # rows per column
P_JOINED_ZEROS = 0.12
FAR_PX = 10**6


def sample_digits(rng: Rng, low: int, high: int) -> str:
    """Return `low` to `high` random digits."""
    digits = rng.integers(0, 10, int(rng.integers(low, high + 1)))
    if rng.random() < 0.12:
        digits[1:] = digits[:1]
    return "".join(map(str, digits))


def _integer(rng: Rng) -> str:
    return sample_digits(rng, 1, 6)


def _digit(rng: Rng) -> str:
    return sample_digits(rng, 1, 1)


def _decimal(rng: Rng) -> str:
    return f"{sample_digits(rng, 1, 4)}{rng.choice(['.', ','])}{sample_digits(rng, 1, 3)}"


def _signed(rng: Rng) -> str:
    number = _decimal(rng) if rng.random() < 0.4 else sample_digits(rng, 1, 4)
    return f"{rng.choice(['-', '-', '+'])}{number}"


def _amount(rng: Rng) -> str:
    point, comma = (".", ",") if rng.random() < 0.5 else (",", ".")
    groups = [sample_digits(rng, 3, 3) for _ in range(rng.choice([1, 1, 2]))]
    cents = comma + ("00" if rng.random() < 0.2 else sample_digits(rng, 2, 2)) if rng.random() < 0.6 else ""
    return point.join([sample_digits(rng, 1, 3), *groups]) + cents


def _fraction(rng: Rng) -> str:
    return f"{sample_digits(rng, 1, 2)}/{sample_digits(rng, 1, 2)}"


def _time(rng: Rng) -> str:
    return ":".join(sample_digits(rng, 2, 2) for _ in range(rng.choice([2, 2, 3])))


def _percent(rng: Rng) -> str:
    return (_decimal(rng) if rng.random() < 0.3 else sample_digits(rng, 1, 3)) + "%"


def _date(rng: Rng) -> str:
    sign = str(rng.choice([".", "/", "-"]))
    return sign.join((sample_digits(rng, 1, 2), sample_digits(rng, 1, 2), sample_digits(rng, 2, 4)))


def _phone(rng: Rng) -> str:
    if rng.random() < 0.5:
        return f"{sample_digits(rng, 3, 4)}{rng.choice(['/', '-'])}{sample_digits(rng, 4, 6)}"
    return f"+{sample_digits(rng, 2, 2)} {sample_digits(rng, 3, 3)} {sample_digits(rng, 3, 4)}"


def _ordinal(rng: Rng) -> str:
    return f"{sample_digits(rng, 1, 3)}{rng.choice(['.', '.', ',', '-'])}"


NUMBERS: dict[str, tuple[float, Callable[[Rng], str]]] = {
    "integer": (0.38, _integer),
    "digit": (0.06, _digit),
    "decimal": (0.17, _decimal),
    "signed": (0.08, _signed),
    "amount": (0.07, _amount),
    "fraction": (0.05, _fraction),
    "time": (0.05, _time),
    "percent": (0.05, _percent),
    "date": (0.04, _date),
    "phone": (0.02, _phone),
    "ordinal": (0.03, _ordinal),
}  # weight, and how the text of a number is drawn
NUMBER_KINDS = tuple(NUMBERS)
NUMBER_WEIGHTS = np.array([weight for weight, _ in NUMBERS.values()])
NUMBER_WEIGHTS /= NUMBER_WEIGHTS.sum()


def sample_number(rng: Rng) -> str:
    """Return the text of a number of any kind."""
    return NUMBERS[NUMBER_KINDS[rng.choice(len(NUMBER_KINDS), p=NUMBER_WEIGHTS)]][1](rng)


def write_run(text: str, em: float, hand: Hand, rng: Rng, max_width: float = FAR_PX) -> Run:
    """Write numbers, separated by spaces: those characters that end before `max_width` pixels, or one."""
    p_touching = 0.0 if hand.is_printed else float(rng.choice(P_TOUCHING, p=TOUCHING_WEIGHTS))
    max_gap = 0.2 if hand.is_printed else float(rng.choice(MAX_GAPS, p=GAP_WEIGHTS))
    slope = 0.0 if hand.is_printed else float(rng.normal(0, SLOPE_SIGMA))
    low, rows = round(1.6 * em), round(2.6 * em) + 8
    edge = np.full(rows, -FAR_PX)  # last column of ink in each row
    patches: list[Patch] = []
    names, numbers, number, space = "", [], 0, 0.0
    for name in text:
        if name == " ":
            space, number = em * rng.uniform(*SPACE_RANGE), number + 1
            continue
        height = em * (1 + hand.size_spread * float(rng.normal()))
        if name == "0" and patches:
            height *= hand.zero_height
        patch = hand.write(name, max(3.0, height), hand, rng)
        rise = 0.0 if hand.is_printed else BASELINE_SIGMA * em * rng.normal()
        column = 0.0
        if patches:
            touches = not space and rng.random() < p_touching
            narrower = min(each.ink.shape[1] for each in (patch, patches[-1])) / em
            deepest = min(OVERLAP_RANGE[1], MAX_OVERLAP_FRACTION * narrower)
            gap = -rng.uniform(OVERLAP_RANGE[0], deepest) if touches else rng.uniform(MIN_GAP, max_gap)
            column = _next_column(edge, patch, low, 0 if touches else max(1, round(0.12 * em)))
            column = max(column + gap * em, patches[-1].left - patch.left + 1) + space
        patch = patch.moved(column, rise + slope * column)
        if patches and patch.right > max_width:
            break
        patches.append(patch)
        names, space = names + name, 0.0
        numbers.append(number)
        _note_edge(edge, patch, low)
    return Run(patches, names, numbers, _joins(patches, names, em, hand, rng), hand.is_printed)


def write_plain_one(em: float, hand: Hand, rng: Rng) -> Run:
    """Write a 1 that is nothing but a stroke."""
    lean = em * (hand.slant + rng.normal(0, 0.06))
    stroke = np.array([[lean, -em], [lean / 2 + em * rng.normal(0, 0.02), -em / 2], [0.0, 0.0]])
    patch = draw_curves([bend(smooth(stroke), em, rng)], hand.pen_px(em))
    return Run([patch.moved(-patch.left, 0)], "1", [0])


def _next_column(edge: NDArray[np.int_], patch: Patch, low: int, reach: int) -> float:
    """Return how far a patch moves until it touches what is before it, seen from `reach` rows away."""
    top = int(np.clip(patch.top + low, 0, len(edge) - 1))
    bottom = int(np.clip(patch.bottom + low, top + 1, len(edge)))
    ink = patch.ink[: bottom - top] > INK_LEVEL
    first = np.where(ink.any(axis=1), ink.argmax(axis=1), FAR_PX)
    before = edge[max(0, top - reach) : bottom + reach].max()
    if reach:  # apart: their boxes may overlap by a little where strokes lean
        near = np.maximum(edge[top:bottom], before - patch.ink.shape[1] // 3)
        return float((near[: len(first)] - first[: bottom - top]).max() - patch.left)
    contact = float((edge[top:bottom][: len(first)] - first).max()) - patch.left
    return contact if contact > -FAR_PX / 2 else float(before - patch.left)


def _note_edge(edge: NDArray[np.int_], patch: Patch, low: int) -> None:
    top = int(np.clip(patch.top + low, 0, len(edge) - 1))
    bottom = int(np.clip(patch.bottom + low, top + 1, len(edge)))
    ink = patch.ink[: bottom - top] > INK_LEVEL
    last = np.where(ink.any(axis=1), ink.shape[1] - 1 - ink[:, ::-1].argmax(axis=1) + patch.left, -FAR_PX)
    edge[top : top + len(last)] = np.maximum(edge[top : top + len(last)], last)


def _joins(patches: list[Patch], names: str, em: float, hand: Hand, rng: Rng) -> list[Patch]:
    """Return strokes that join neighbouring zeros."""
    if hand.is_printed or "00" not in names or rng.random() > P_JOINED_ZEROS * 4:
        return []
    joins: list[Curve] = []
    for place in range(len(names) - 1):
        if names[place : place + 2] == "00":
            first, second = patches[place], patches[place + 1]
            start = first.right - 1, first.top + rng.uniform(0, 0.4) * len(first.ink)
            end = second.left + second.ink.shape[1] * 0.4, second.top + rng.uniform(0, 0.2) * len(second.ink)
            joins.append(np.array([start, end], float))
    return [draw_curves([join], hand.pen_px(em)) for join in joins]
