"""Confidence intervals of a proportion, such as an accuracy."""

from __future__ import annotations

from math import sqrt

__all__ = ["wilson_interval"]

Z_95 = 1.959963984540054  # the normal distribution's 97.5 % quantile


def wilson_interval(successes: int, trials: int) -> tuple[float, float]:
    """Return Wilson's 95 % score interval of a proportion.

    Unlike the normal approximation it stays inside [0, 1] and is not empty at 0 or 100 %, where the
    accuracies of this package live.

    Parameters
    ----------
    successes
        How often it went well, 0 to `trials`.
    trials
        How often it was tried, at least 1.

    Returns
    -------
    tuple of float
        The lower and the upper end, both in [0, 1].

    References
    ----------
    E. B. Wilson, "Probable inference, the law of succession, and statistical inference", Journal of
    the American Statistical Association 22 (1927), 209-212.
    """
    if not 0 <= successes <= trials or trials < 1:
        raise ValueError(f"expected 0 <= successes <= trials and trials >= 1, got {successes}, {trials}")
    proportion = successes / trials
    shrink = 1 + Z_95**2 / trials
    centre = (proportion + Z_95**2 / (2 * trials)) / shrink
    half = Z_95 / shrink * sqrt(proportion * (1 - proportion) / trials + Z_95**2 / (4 * trials**2))
    return max(0.0, centre - half), min(1.0, centre + half)
