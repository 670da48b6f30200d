"""Projection to two dimensions: similar images stay close together, for any number of images."""

from __future__ import annotations

import numpy as np
import pytest

from digit_recognizer.report.projection import project

pytestmark = pytest.mark.usefixtures("one_thread")


def clusters(each: int, dimensions: int = 20, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return the values of images in three distant groups, and the group of each image."""
    generator = np.random.default_rng(seed)
    group = np.arange(3 * each) % 3
    centres = 10 * np.eye(3, dimensions)
    return (centres[group] + generator.normal(0, 1, (3 * each, dimensions))).astype(np.float32), group


def nearest(points: np.ndarray) -> np.ndarray:
    """Return for each point the index of the nearest other point."""
    distances = np.linalg.norm(points[:, None] - points[None], axis=2)
    np.fill_diagonal(distances, np.inf)
    return distances.argmin(axis=1)


@pytest.mark.parametrize(("each", "method"), [(33, "PCA"), (34, "t-SNE")])
def test_groups_stay_together_and_apart(each, method):
    values, group = clusters(each)
    points, used = project(values)
    assert used == method
    assert (points.shape, points.dtype) == ((3 * each, 2), np.float32)
    assert (group[nearest(points)] == group).mean() > 0.98


@pytest.mark.parametrize("each", [20, 40])
def test_the_same_seed_gives_the_same_points(each):
    values, _ = clusters(each)
    assert np.array_equal(project(values, seed=5)[0], project(values, seed=5)[0])


def test_for_fewer_than_100_images_the_axes_are_the_principal_components():
    """A singular value decomposition is the oracle; the sign of each axis is arbitrary."""
    values, _ = clusters(20)
    points, _ = project(values)
    centred = values - values.mean(axis=0)
    _, _, axes = np.linalg.svd(centred, full_matrices=False)
    np.testing.assert_allclose(np.abs(points), np.abs(centred @ axes[:2].T), atol=1e-3)


@pytest.mark.parametrize("count", [1, 2, 99, 100, 150])
@pytest.mark.parametrize("dimensions", [1, 2, 50])
def test_identical_values_are_a_single_point(count, dimensions):
    points, method = project(np.full((count, dimensions), 3, np.float32))
    assert method == "PCA"
    assert points.shape == (count, 2)
    assert not points.any()


@pytest.mark.parametrize("count", [2, 99, 100])
def test_a_single_value_per_image_is_one_axis(count):
    values = np.arange(count, dtype=np.float32)[:, None]
    points, method = project(values)
    assert method == "PCA"
    assert not points[:, 1].any()
    np.testing.assert_allclose(np.abs(np.diff(points[:, 0])), 1, atol=1e-4)


def test_a_single_different_value_is_enough():
    values = np.ones((120, 10), np.float32)
    values[0, 0] = 2
    points, _ = project(values)
    assert np.isfinite(points).all()


@pytest.mark.parametrize("factor", [1e18, 1e36])
def test_values_whose_squares_overflow_are_projected_too(factor):
    """A network that diverged has such values."""
    values, group = clusters(20)
    points, _ = project(values * np.float32(factor))
    assert np.isfinite(points).all()
    assert (group[nearest(points)] == group).mean() > 0.98
