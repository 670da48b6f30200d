"""Many values an image ► two, so that alike images lie close to each other."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

COMPONENTS = 30  # t-SNE is given as many; it needs no more, and is faster for it
ITERATIONS, ANGLE = 500, 0.8  # half the time of 1000 and 0.5, and neighbours stay as near: docs/LOG.md
FEWEST = 100  # images; below that t-SNE has no neighbourhoods to keep, and PCA is used


def project(values: NDArray[np.float32], seed: int = 0) -> tuple[NDArray[np.float32], str]:
    """Lay images out in a plane.

    Parameters
    ----------
    values
        float32, shape (N, D), N at least 1: what a layer makes of each image.
    seed
        Decides the random draws of both methods.

    Returns
    -------
    tuple
        float32, shape (N, 2), of no unit; and the method's name, ``t-SNE``, or ``PCA`` below 100 images and
        where all images have the same values.

    References
    ----------
    L. van der Maaten, G. Hinton, "Visualizing data using t-SNE", JMLR 9 (2008), 2579-2605.
    """
    from sklearn.decomposition import PCA
    from sklearn.manifold import TSNE
    from threadpoolctl import threadpool_limits

    if not np.ptp(values, axis=0).any():  # also where there is one image only
        return np.zeros((len(values), 2), np.float32), "PCA"
    components = min(COMPONENTS, *values.shape)
    reduced = PCA(components, svd_solver="randomized", random_state=seed).fit_transform(values)
    if len(values) < FEWEST or components < 2:
        padded = np.zeros((len(values), 2), np.float32)
        padded[:, : min(2, components)] = reduced[:, :2]
        return padded, "PCA"
    method = TSNE(2, init="pca", perplexity=30, angle=ANGLE, max_iter=ITERATIONS, random_state=seed)
    with threadpool_limits(1, "openmp"):  # more would wait for each other beside what draws
        points = method.fit_transform(reduced)
    return points.astype(np.float32), "t-SNE"
