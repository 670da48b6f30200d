"""Project the values of a layer to two dimensions, so that similar images lie close together."""

from __future__ import annotations

from inspect import signature

import numpy as np
from numpy.typing import NDArray

PCA_COMPONENTS = 30  # as input of t-SNE, which gains nothing from more and takes longer
TSNE_ITERATIONS, TSNE_ANGLE = 500, 0.8  # half the time of 1000 and 0.5 at equal quality: docs/LOG.md
TSNE_PERPLEXITY = 30
MIN_TSNE_IMAGES = 100  # with fewer, neighbourhoods of 30 images mean little


def project(values: NDArray[np.float32], seed: int = 0) -> tuple[NDArray[np.float32], str]:
    """Project (N, D) values of N images, at least one, to points (N, 2) without a unit.

    The second result is the name of the method: ``t-SNE``, or ``PCA`` for fewer than 100 images and if all
    images have the same values.

    References
    ----------
    L. van der Maaten, G. Hinton, "Visualizing data using t-SNE", JMLR 9 (2008), 2579-2605.
    """
    from sklearn.decomposition import PCA
    from sklearn.manifold import TSNE
    from threadpoolctl import threadpool_limits

    if not np.ptp(values, axis=0).any():  # also for a single image
        return np.zeros((len(values), 2), np.float32), "PCA"
    values = _with_finite_squares(values)
    components = min(PCA_COMPONENTS, *values.shape)
    reduced = PCA(components, svd_solver="randomized", random_state=seed).fit_transform(values)
    if len(values) < MIN_TSNE_IMAGES or components < 2:
        points = np.zeros((len(values), 2), np.float32)
        points[:, : min(2, components)] = reduced[:, :2]
        return points, "PCA"
    iterations = "max_iter" if "max_iter" in signature(TSNE).parameters else "n_iter"  # 1.4
    method = TSNE(
        2,
        init="pca",
        perplexity=TSNE_PERPLEXITY,
        angle=TSNE_ANGLE,
        random_state=seed,
        **{iterations: TSNE_ITERATIONS},
    )
    with threadpool_limits(1, "openmp"):  # the figures are drawn meanwhile: more threads would only wait
        points = method.fit_transform(reduced)
    return points.astype(np.float32), "t-SNE"


def _with_finite_squares(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Scale down values so large, in a network that diverged, that the sum of their squares overflows."""
    limit = np.sqrt(np.finfo(np.float32).max / values.size)
    largest = np.abs(np.nan_to_num(values)).max()
    return values if largest < limit else np.nan_to_num(values) / largest
