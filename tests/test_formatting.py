"""Numbers as the command line and the report write them."""

from __future__ import annotations

from math import nan

import pytest

from digit_recognizer.formatting import (
    bytes_in_words,
    corrections_in_words,
    count,
    percent,
    percent_range,
    score_in_words,
    seconds_in_words,
    setting_in_words,
    shorten,
    spelled,
)


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (percent(0.994), "99.40 %"),
        (percent(0.5, 0), "50 %"),
        (percent(nan), "–"),
        (percent_range(0.9912, 0.996), "99.12 to 99.60 %"),
        (count(1, "image"), "1 image"),
        (count(0, "image"), "0 images"),
        (setting_in_words(4200), "4200"),  # as one types it
        (count(4200, "image"), "4,200 images"),
        (seconds_in_words(4.24), "4.2 s"),
        (seconds_in_words(59.96), "1 min 0 s"),
        (seconds_in_words(425), "7 min 5 s"),
        (seconds_in_words(3720), "1 h 2 min"),
        (bytes_in_words(85_400), "85 kB"),
        (bytes_in_words(3_640_000), "3.6 MB"),
        (spelled(["a"]), "a"),
        (spelled(["a", "b", "c"]), "a, b and c"),
        (shorten("a" * 22), "a" * 22),
        (shorten("abcdefghijklmnopqrstuvwxyz"), "abcdefghij…qrstuvwxyz"),
    ],
)
def test_a_number_or_name_is_written_as_expected(found, expected):
    assert found == expected


def test_a_score_has_its_interval_and_counts():
    """Wilson's interval of 4,175 in 4,200 is 99.12 to 99.60 %."""
    assert score_in_words(4200, 25) == "99.40 %  (95 % interval 99.12 to 99.60 %; 25 errors in 4,200 images)"


LEARNED = {"images": 20, "after": {"right": 19}}
TUNED = {
    **LEARNED,
    "before": {"right": 3},
    "unseen": {"right": 15},
    "kept": 1.0,
    "validation": {
        "before": {"images": 4200, "errors": 25},
        "newly_right": 4,
        "newly_wrong": 6,
        "allowed": 4,
    },
}


@pytest.mark.parametrize(
    ("values", "facts"),
    [
        (None, []),
        (LEARNED, ["19 of 20 corrections", "--from"]),
        (TUNED, ["3 of 20", "15 after", "19 of 20", "25 errors in 4,200", "4 now right", "6 now wrong"]),
        ({**TUNED, "unseen": None}, ["3 of 20", "too few", "19 of 20", "4 now right"]),
        ({**TUNED, "validation": None}, ["3 of 20", "15 after", "unknown"]),
        ({**TUNED, "kept": 0.4}, ["6 now wrong", "40 %", "4 additional errors"]),
        ({**TUNED, "kept": 0.0}, ["6 now wrong", "unchanged", "4 additional errors"]),
    ],
)
def test_what_corrections_gained_and_cost_is_complete(values, facts):
    text = " ".join(text for _, text in corrections_in_words(values))
    missing = [fact for fact in facts if fact not in text]
    assert missing == []
