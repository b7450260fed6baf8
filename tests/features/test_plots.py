"""Figures of mean features hold every point, star and line."""

from __future__ import annotations

import numpy as np
from matplotlib import colors as mcolors

from maunet_lite.features.plots import margin_strip, measure_lines, modality_colors, scatter
from maunet_lite.features.space import pca
from tests.features.rows import RUNS, SPLIT_AT_THREE, SQUARE, two_modalities


def test_scatter_draws_points_proxies_and_boundary():
    ax = scatter(pca(two_modalities(SQUARE, SPLIT_AT_THREE)), title="four points")
    assert len(ax.collections[0].get_offsets()) == 4
    drawn = {mcolors.to_hex(c).upper() for c in ax.collections[0].get_facecolors()}
    assert drawn == set(modality_colors(["dic", "fluorescence"]).values())
    assert [text.get_text() for text in ax.texts] == ["background", "interior", "boundary"]
    dashed = [line for line in ax.lines if line.get_linestyle() == "--"]
    assert np.allclose(dashed[0].get_xdata(), 1)  # x = 3, seen from the center
    assert "80 %" in ax.get_xlabel()


def test_scatter_of_swapped_components_swaps_the_boundary():
    ax = scatter(pca(two_modalities(SQUARE, SPLIT_AT_THREE)), components=(2, 1))
    dashed = [line for line in ax.lines if line.get_linestyle() == "--"]
    assert np.allclose(dashed[0].get_ydata(), 1)


def test_scatter_without_head_has_no_stars():
    ax = scatter(pca(two_modalities(SQUARE, layer="encoder.0")), legend=False)
    assert not ax.lines
    assert ax.get_legend() is None


def test_margin_strip_and_measure_lines_draw_every_run():
    features = two_modalities(SQUARE, SPLIT_AT_THREE)
    ax = margin_strip({"without proxy": features, "with proxy": features})
    assert sum(len(c.get_offsets()) for c in ax.collections) == 8
    figure = measure_lines(RUNS)
    titles = [ax.get_title() for ax in figure.axes if ax.get_title()]
    assert titles == ["silhouette", "linear probe"]
    assert len(figure.axes[0].lines) == 3 + 1
