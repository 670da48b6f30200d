"""Wilson's interval against scipy's, and what an interval must hold."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from digit_recognizer.evaluation import wilson_interval


@given(st.integers(1, 100_000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_the_interval_is_scipys_lies_in_0_to_1_and_holds_the_proportion(counts):
    successes, trials = counts
    low, high = wilson_interval(successes, trials)
    assert 0 <= low < high <= 1
    assert low - 1e-12 <= successes / trials <= high + 1e-12
    expected = binomtest(successes, trials).proportion_ci(0.95, method="wilson")
    assert (low, high) == pytest.approx((expected.low, expected.high), abs=1e-9)


def test_more_trials_make_the_interval_narrower():
    widths = [high - low for low, high in (wilson_interval(9 * n, 10 * n) for n in (1, 10, 100))]
    assert widths == sorted(widths, reverse=True)


@pytest.mark.parametrize(("successes", "trials"), [(0, 0), (-1, 10), (11, 10)])
def test_impossible_counts_are_refused(successes, trials):
    with pytest.raises(ValueError, match=f"got {successes}, {trials}"):
        wilson_interval(successes, trials)
