"""Planes through the space of features, the boundary in them, and margins, derived by hand."""

from __future__ import annotations

import numpy as np
import pytest

from maunet_lite.features.plots import scatter
from maunet_lite.features.space import Head, decision_boundary, margins, pca
from tests.features.rows import SPLIT_AT_THREE, SQUARE, two_modalities


def test_pca_of_a_rectangle():
    plane = pca(two_modalities(SQUARE))
    # center (2, 1); variances 4 and 1 along x and y
    np.testing.assert_allclose(plane.points, [[-2, -1], [2, -1], [-2, 1], [2, 1]], atol=1e-9)
    np.testing.assert_allclose(plane.explained, [0.8, 0.2])
    np.testing.assert_allclose(np.abs(plane.components), np.eye(2), atol=1e-9)
    assert plane.components.max(axis=1).tolist() == [1.0, 1.0]  # the sign is fixed
    assert plane.proxies is None
    assert list(plane.table()[["PC1", "PC2"]].iloc[3].round(6)) == [2.0, 1.0]


def test_pca_fitted_on_some_rows_projects_all():
    plane = pca(two_modalities(SQUARE), n=1, fit_on=np.array([True, True, False, False]))
    np.testing.assert_allclose(plane.points.ravel(), [-2, 2, -2, 2], atol=1e-9)


def test_proxies_stand_at_the_mean_length_of_the_features():
    features = two_modalities([[3, 4], [3, -4], [-3, 4], [-3, -4]], SPLIT_AT_THREE)  # all of length 5, mean 0
    plane = pca(features)
    assert plane.proxies.shape == (3, 2)
    np.testing.assert_allclose(np.linalg.norm(plane.proxies, axis=1), 5)
    np.testing.assert_allclose(
        plane.proxies[0], plane.proxies[1]
    )  # same direction: bias and length are not seen


def test_the_anti_ambiguity_proxy_has_no_place_in_a_plane():
    names = ("background", "interior", "proxy")  # its weight points away from both features
    head = Head(np.array([[1.0, 0, 0], [0, 1, 0], [-1, -1, 5]]), np.zeros(3), names)
    plane = pca(two_modalities([[2.0, 0, 0], [0, 2, 0], [4, 0, 0], [0, 4, 0]], head))
    assert plane.proxies.shape == (2, 2)
    labels = {text.get_text() for text in scatter(plane).texts}
    assert labels == {"background", "interior"}


def test_more_components_than_rows_are_refused():
    with pytest.raises(
        ValueError, match=r"3 components need as many rows and dimensions; the features are \(4, 2\)"
    ):
        pca(two_modalities(SQUARE), n=3)


def test_boundary_is_where_the_logits_are_equal():
    # interior - background = 2x - (x + 3) = x - 3
    plane = pca(two_modalities(SQUARE, SPLIT_AT_THREE))
    line = decision_boundary(plane)
    np.testing.assert_allclose(line.side(plane.points), [-3, 1, -3, 1], atol=1e-9)
    ends = line.ends(1)
    np.testing.assert_allclose(
        np.sort(ends, axis=0), [[1, -1], [1, 1]], atol=1e-9
    )  # x = 3, from the center (2, 1)
    assert decision_boundary(plane, "interior", "background").side(plane.points)[0] == pytest.approx(3)


def test_boundary_in_a_plane_is_exact_for_features_in_it():
    rng = np.random.default_rng(0)
    flat = rng.normal(size=(8, 2)) @ rng.normal(size=(2, 5)) + 1  # eight rows in a plane of five dimensions
    head = Head(rng.normal(size=(4, 5)), rng.normal(size=4), ("background", "interior", "boundary", "proxy"))
    plane = pca(two_modalities(flat, head))
    logits = flat.astype(np.float32) @ head.weights.T + head.bias
    np.testing.assert_allclose(
        decision_boundary(plane).side(plane.points), logits[:, 1] - logits[:, 0], atol=1e-4
    )
    assert decision_boundary(plane, components=(2, 1)).side(plane.points[:, ::-1]) == pytest.approx(
        decision_boundary(plane).side(plane.points)
    )
    np.testing.assert_allclose(
        decision_boundary(plane, "boundary", "proxy").side(plane.points),
        logits[:, 3] - logits[:, 2],
        atol=1e-4,
    )


def test_bisector_is_equally_far_from_both_proxies():
    plane = pca(
        two_modalities(
            SQUARE, Head(np.array([[1.0, 0], [0, 1.0]]), np.array([9.0, 0]), ("background", "interior"))
        )
    )
    line = decision_boundary(plane, method="bisector")
    ends = line.ends(9)
    far = np.linalg.norm(ends[:, None] - plane.proxies[None], axis=2)
    np.testing.assert_allclose(far[:, 0], far[:, 1])
    assert line.side(plane.proxies)[1] > 0 > line.side(plane.proxies)[0]


def test_boundary_refuses_what_has_none():
    with pytest.raises(ValueError, match=r"layer 'encoder\.0' is not the input of the head"):
        decision_boundary(pca(two_modalities(SQUARE, layer="encoder.0")))
    plane = pca(two_modalities(SQUARE, SPLIT_AT_THREE))
    with pytest.raises(ValueError, match="no class 'proxy'; it has background, interior, boundary"):
        decision_boundary(plane, "background", "proxy")
    with pytest.raises(ValueError, match="method='middle'"):
        decision_boundary(plane, method="middle")
    with pytest.raises(ValueError, match=r"components=\(1, 2\) are not two of the 1 that were computed"):
        decision_boundary(pca(two_modalities(SQUARE, SPLIT_AT_THREE), n=1))


def test_margins_are_positive_on_the_own_side():
    # boundary at x = 3: backgrounds at 0 are 3 away on their side, interiors at 4 are 1 away on theirs
    features = two_modalities([[0, 0], [4, 0], [4, 0], [0, 0]], SPLIT_AT_THREE)
    mean_length = (0 + 4 + 4 + 0) / 4
    np.testing.assert_allclose(margins(features), np.array([3, 1, -1, -3]) / mean_length)
    with pytest.raises(ValueError, match="not the input of the head"):
        margins(two_modalities(SQUARE))
