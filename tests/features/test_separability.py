"""Measures of few rows derived by hand, at chance level, undefined, and over seeds."""

from __future__ import annotations

import numpy as np
import pytest

from maunet_lite.features.separability import MEASURES, discriminability
from tests.features.rows import SPLIT_AT_THREE, SQUARE, two_modalities


def test_measures_of_a_rectangle():
    values = discriminability(two_modalities(SQUARE, SPLIT_AT_THREE))
    assert list(values) == list(MEASURES)
    # class means at x = 0 and 4: between 4 · 2² = 16, within 4 · 1² = 4, all of it between the two modalities
    assert values["scatter_ratio"] == pytest.approx(4)
    assert values["domain_gap"] == pytest.approx(1)
    # to the own class 2, to the other (4 + sqrt(20)) / 2
    assert values["silhouette"] == pytest.approx(1 - 2 / ((4 + 20**0.5) / 2))
    assert values["linear_probe"] == values["unseen_modality"] == values["head_accuracy"] == 1


def test_unseen_modality_sees_a_domain_gap_that_the_probe_does_not():
    # x tells the classes in both modalities, but the second one lies 10 further right: its backgrounds look
    # like interiors to who knows only the first. Knowing both, y corrects for the modality.
    side, modality = np.tile([-1.0, 1.0], 20), np.repeat([0.0, 1.0], 20)
    jitter = np.random.default_rng(0).normal(0, 0.01, (40, 2))
    values = discriminability(two_modalities(np.stack([side + 10 * modality, modality], axis=1) + jitter))
    assert values["linear_probe"] == 1
    assert values["unseen_modality"] == 0.5  # all rows of the unseen modality are taken for one class
    assert values["domain_gap"] > 0.9


def test_measures_do_not_depend_on_scale_and_place():
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(24, 3)) + np.tile([[0, 0, 0], [1, 0, 1]], (12, 1))
    one, other = (discriminability(two_modalities(v)) for v in (vectors, 100 * vectors + 7))
    assert one == pytest.approx(other, rel=1e-3, nan_ok=True)
    assert np.isnan(one["head_accuracy"])


def test_shuffled_classes_are_near_chance():
    rng = np.random.default_rng(0)
    values = discriminability(two_modalities(rng.normal(size=(200, 4))))
    assert abs(values["linear_probe"] - 0.5) < 0.15
    assert abs(values["silhouette"]) < 0.1
    assert values["scatter_ratio"] < 0.1


def test_undefined_measures_are_nan():
    features = two_modalities(SQUARE)
    values = discriminability(features.select(features.table["image"] == "im0"))
    assert {name for name, value in values.items() if np.isnan(value)} == set(MEASURES)
    with pytest.raises(ValueError, match=r"got only \['interior'\]"):
        discriminability(features.select(features.table["class"] == "interior"))
