"""A stroke alphabet: handwritten letters, digits and separators as points that a pen passes.

A character is written in a box of columns 0 to 6 and rows 0 (top of capitals and digits) to 9 (base line),
down to d (descenders). Each pair of signs is a point, `;` separates strokes, `~` starts a smooth stroke.
"""

from __future__ import annotations

from functools import cache

import numpy as np

from digit_recognizer.synthetic.ink import Curve, smooth

BASE_ROW = 9.0  # rows of a capital or a digit
JITTER = 0.35  # standard deviation of a point, in columns and rows

LETTERS = {
    "A": "09 30 69;16 56", "B": "00 09;~00 40 52 44 04;~04 54 67 49 09", "C": "~61 40 12 05 17 49 68",
    "D": "00 09;~00 40 64 49 09", "E": "60 00 09 69;04 44", "F": "60 00 09;04 44",
    "G": "~61 40 12 05 17 49 67;35 65 69", "H": "00 09;60 69;04 64", "I": "30 39", "J": "~50 57 39 17",
    "K": "00 09;60 04 69", "L": "00 09 69", "M": "09 00 35 60 69", "N": "09 00 69 60", "O": "~30 04 39 64 31",
    "P": "00 09;~00 50 63 45 05", "Q": "~30 04 39 64 31;46 69", "R": "00 09;~00 50 63 45 05;25 69",
    "S": "~61 30 02 35 67 39 08", "T": "00 60;30 39", "U": "~00 06 39 66 60", "V": "00 39 60",
    "W": "00 19 33 59 60", "X": "00 69;60 09", "Y": "00 34 60;34 39", "Z": "00 60 09 69",
    "a": "~54 24 06 19 47 54;54 58 69", "b": "00 09;~06 34 57 39 08", "c": "~54 24 06 19 58",
    "d": "~56 34 06 19 47;50 59", "e": "~06 56 44 14 06 29 58", "f": "~50 31 29;04 54",
    "g": "~54 24 06 19 47 54;~54 5b 2d 0c", "h": "00 09;~06 34 56 59", "i": "34 39;32 32",
    "j": "~34 3b 1d;32 32", "k": "00 09;54 07 59", "l": "~20 28 39", "m": "04 09;~06 24 36 39;~36 54 66 69",
    "n": "04 09;~06 34 56 59", "o": "~34 06 39 56 34", "p": "04 0d;~05 34 57 39 08",
    "q": "~54 24 06 19 47 54;54 5d", "r": "04 09;~06 24 54", "s": "~54 24 16 47 39 08",
    "t": "~30 38 49 58;14 54", "u": "~04 07 29 57 54;54 59", "v": "04 39 64", "w": "04 19 35 59 64",
    "x": "04 59;54 09", "y": "04 37;64 0d", "z": "04 54 09 59",
}  # fmt: skip
GREEK = {
    "alpha": "~64 48 29 07 24 46 69", "beta": "0d 02;~02 30 52 34;~34 57 39 08",
    "gamma": "~04 25 39;64 39 2d",
    "delta": "~51 30 22 56 39 07 24", "epsilon": "~54 24 15 36;~36 07 29 58", "lambda": "~00 21 69;35 09",
    "mu": "04 0d;~07 29 57;54 59", "pi": "~05 14 64;24 19;54 59", "sigma": "~64 24 06 29 57 34",
    "phi": "~25 07 39 66 54 35 3d", "psi": "~04 07 39 67 64;30 3d", "omega": "~14 06 29 36 59 66 54",
    "xi": "~50 21 43 14 46 18 4b",
    "Gamma": "09 00 60", "Delta": "09 30 69 09", "Lambda": "09 30 69",
    "Xi": "00 60;14 54;09 69", "Pi": "09 00 60 69", "Sigma": "60 00 35 09 69",
    "Omega": "~09 29 04 30 64 49 69",
    "Theta": "~30 04 39 64 31;14 54", "Phi": "30 39;~32 04 37 64 32", "Psi": "~00 04 36 64 60;30 39",
}  # fmt: skip
DIGITS = {
    "0": ("~30 04 39 64 31", "~40 11 05 29 57 52 30", "~30 04 39 64 31;61 08"),
    "1": ("30 39", "03 30 39", "~13 22 30;30 39", "12 30 39;19 59", "05 40 49", "07 50 59", "09 50 59",
          "~09 25 50;50 59", "08 40 3a"),
    "2": ("~02 20 52 36 09;09 69", "~02 20 52 27 09 28 69", "~01 30 52 45 18 09;~09 38 69"),
    "3": ("~01 40 53 24;~24 57 39 08", "01 50 24;~24 57 39 08", "~02 30 52 34 66 49 08"),
    "4": ("30 06 66;43 4a", "50 06 66;50 59", "00 05 65;50 59", "10 06 66;42 39", "10 05 65;62 5c",
          "~10 05 35 52;52 59"),
    "5": ("60 10 04;~04 45 67 39 08", "~10 04 44 67 39 08;10 60", "60 10 14;~14 54 57 39 08",
          "90 20 14;~14 54 57 39 08"),
    "6": ("~50 13 07 39 56 34 06", "~40 03 07 39 67 55 25 07", "~30 05 29 57 45 07"),
    "7": ("00 60 29", "00 60 29;14 54", "~01 10 60;60 29", "02 00 60 19;15 55", "~00 20 60 44 29",
          "~02 11 60 4c;05 65"),
    "8": ("~52 20 02 35 67 39 07 34 52", "~30 02 34 66 39 06 34 62 30", "~31 12 34 53 31;~34 06 39 66 34"),
    "9": ("~52 20 03 25 52;52 59", "~61 20 03 25 52;~62 57 39 18", "~51 20 03 35 52;~52 56 2a"),
}  # fmt: skip
SEPARATORS = {
    ".": ("28 29", "29 29"), ",": ("38 1b", "~28 39 2a 1b", "39 2b"), "-": ("15 55", "05 54", "~05 24 56"),
    "/": ("60 09", "50 0a"), ":": ("25 25;29 29", "24 25;28 29"),
    "+": ("32 38;05 65", "33 38;~05 35 64"), "%": ("60 09;~11 03 14 22 11;~56 48 59 67 56",),
}  # fmt: skip
AMBIGUOUS_LETTERS = frozenset("OoIlSsZzBbQqgGDijJy")  # on their own they look like a digit
SINGLE_LETTERS = tuple(sorted({*LETTERS} - AMBIGUOUS_LETTERS)) + tuple(sorted(GREEK))
PEN_CHARACTERS = {key: (strokes,) for key, strokes in {**LETTERS, **GREEK}.items()} | DIGITS | SEPARATORS


@cache
def _strokes(strokes: str) -> tuple[tuple[bool, Curve], ...]:
    """Return whether each stroke is smooth, and its points, in units of the height of a capital."""
    parsed = []
    for stroke in strokes.split(";"):
        points = [(int(pair[0], 16), int(pair[1], 16)) for pair in stroke.lstrip("~").split()]
        parsed.append((stroke.startswith("~"), np.array(points, float)))
    return tuple(parsed)


def write_character(name: str, rng: np.random.Generator, jitter: float = JITTER) -> list[Curve]:
    """Return the strokes of a character: 1 high from the base line (row 0) upwards, some 0.67 wide."""
    forms = PEN_CHARACTERS[name]
    form = forms[rng.integers(len(forms))]
    curves = []
    for is_smooth, points in _strokes(form):
        moved = points + rng.normal(0, jitter, points.shape)
        if is_smooth and rng.random() < 0.5:
            moved[-1] += rng.normal(0, jitter, 2)
        curves.append(((smooth(moved) if is_smooth else moved) - (0, BASE_ROW)) / BASE_ROW)
    return curves


SEGMENTS = {
    "a": "00 60", "b": "60 64", "c": "64 69", "d": "09 69", "e": "04 09", "f": "00 04", "g": "04 64",
}  # fmt: skip
LIT = ("abcdef", "bc", "abged", "abgcd", "fgbc", "afgcd", "afgedc", "abc", "abcdefg", "abcdfg")


def write_segments(digit: str) -> list[Curve]:
    """Return the bars of a digit on a display of seven segments, in the same units."""
    curves = []
    for bar in LIT[int(digit)]:
        ((_, points),) = _strokes(SEGMENTS[bar])
        middle = points.mean(axis=0)
        curves.append((middle + 0.82 * (points - middle) - (0, BASE_ROW)) / BASE_ROW)
    return curves
