"""The feature explorer's pictures without a browser: thumbnails, and its static twin drawn by matplotlib."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

import cv2
import numpy as np

from maunet_lite.course.figures.feature_atlas import LOWEST_BAR, Atlas, View, build_points, build_scores
from maunet_lite.features import scatter
from maunet_lite.figures import blend, outlines, random_colors, to_display

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def thumbnail(image: np.ndarray, labels: np.ndarray | None = None, size: int = 192) -> np.ndarray:
    """Return a small picture of an image, with the cells of `labels` outlined.

    Parameters
    ----------
    image : (H, W) or (H, W, C) array
    labels : (H, W) integer array, optional
    size : int
        Pixels of the longer side.

    Returns
    -------
    (h, w, 3) uint8

    Examples
    --------
    >>> thumbnail(np.zeros((50, 100), np.uint8), size=40).shape
    (20, 40, 3)
    """
    height, width = np.shape(image)[:2]
    scale = size / max(height, width)
    shape = max(1, round(width * scale)), max(1, round(height * scale))
    way = cv2.INTER_AREA if scale < 1 else cv2.INTER_NEAREST
    small = cv2.resize(to_display(image), shape, interpolation=way)
    if labels is not None:
        cells = cv2.resize(np.asarray(labels, np.float64), shape, interpolation=cv2.INTER_NEAREST).astype(
            np.int32
        )
        paint = random_colors(cells) / np.float32(255)
        blend(small, cells > 0, paint, 0.25)
        blend(small, outlines(cells), paint, 1.0)
    return np.round(255 * small).astype(np.uint8)


def pictures(atlas: Atlas, view: View, size: int = 192) -> dict[str, np.ndarray]:
    """Return thumbnails by caption: the image of a view, its true cells and the predicted ones."""
    k = atlas.index(view.image)
    sample, found = atlas.samples[k], atlas.predictions[view.network][k]
    row = atlas.scores[
        (atlas.scores["network"] == view.network) & (atlas.scores["image"] == view.image)
    ].iloc[0]
    made = {f"{sample.name} ({sample.modality})": thumbnail(sample.image, None, size)}
    if sample.labels is not None:
        made[f"truth, {row['cells']:.0f} cells"] = thumbnail(sample.image, sample.labels, size)
    score = "" if sample.labels is None else f", F1 {row['f1']:.2f}"
    made[f"prediction, {row['cells_predicted']} cells{score}"] = thumbnail(sample.image, found, size)
    return made


def static_view(atlas: Atlas, view: View) -> Figure:
    """Draw what the explorer shows: the diagram, one image with truth and prediction, F1 of all images."""
    from matplotlib import pyplot as plt

    figure = plt.figure(figsize=(8.5, 6.2), layout="constrained")
    left, right = figure.subfigures(1, 2, width_ratios=(2.6, 1))
    top, bottom = left.subplots(2, 1, height_ratios=(2.6, 1))
    _draw_points(top, atlas, view)
    _draw_scores(bottom, atlas, view)
    made = pictures(atlas, view)
    for ax, (caption, picture) in zip(np.ravel(right.subplots(len(made), 1)), made.items(), strict=True):
        ax.imshow(picture)
        ax.set_axis_off()
        ax.set_title(textwrap.fill(caption, 30), fontsize=8)
    return figure


def _draw_points(ax: Axes, atlas: Atlas, view: View) -> None:
    plane, points = atlas.plane(view), build_points(atlas, view)
    scatter(
        plane,
        ax,
        f"{view.network}, layer {view.layer}",
        components=view.components[:2],
        rows=points["row"].to_numpy(),
        proxies=view.proxies,
        boundary="logits" if view.proxies else None,
    )
    ringed = points[points["image"].isin([*view.selected, view.image])]
    ax.scatter(ringed["x"], ringed["y"], s=150, facecolors="none", edgecolors="#222222", linewidths=1.2)


def _draw_scores(ax: Axes, atlas: Atlas, view: View) -> None:
    scores = build_scores(atlas, view)
    bars = ax.bar(range(len(scores)), scores["f1"].clip(lower=LOWEST_BAR).fillna(0), color=scores["color"])
    for bar, image, chosen in zip(bars, scores["image"], scores["chosen"], strict=True):
        bar.set_alpha(1.0 if chosen else 0.25)
        if image == view.image:
            bar.set(edgecolor="#222222", linewidth=1.5)
    ax.set_ylim(0, 1)
    ax.set_xticks([])
    ax.set_xlabel("one bar per image, by modality", fontsize=9)
    ax.set_ylabel("F1", fontsize=9)
    ax.tick_params(labelsize=8)
    ax.spines[["top", "right"]].set_visible(False)


def describe(atlas: Atlas, view: View) -> str:
    """Return a description of the view for readers who cannot see it."""
    points = build_points(atlas, view)
    scores = build_scores(atlas, view)["f1"]
    images, found = points["image"].nunique(), " and ".join(sorted(points["class"].unique()))
    return (
        f"Scatter diagram of the mean features of {images} images ({found}) in layer {view.layer} of the "
        f"network {view.network}, coloured by modality, on components {view.components[0]} and "
        f"{view.components[1]}; below, the F1 "
        f"of each image, {scores.min():.2f} to {scores.max():.2f}; on the right, {view.image} with its cells."
    )
