"""What notebook 03 explores: a few images as networks see them, computed in its cells, and a static picture.

An `Atlas` holds mean features of several layers, label maps and F1 of each network. A `View` says what of
that is on display. The tables are pure functions of the two, so that tests and headless runs see what the
widget shows: `static_view` draws them here with matplotlib, `figures.features_explorer` with plotly.
"""

import textwrap
from dataclasses import dataclass

import cv2
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from maunet_lite import features as mf
from maunet_lite.data import Sample
from maunet_lite.figures import paint_cells, picture, to_display

MOST_COMPONENTS = 6
LOWEST_BAR = 0.02  # of F1: a bar of 0 must be seen, too, and be there to be clicked


@dataclass(frozen=True, eq=False)
class Atlas:
    """A few images as seen by one or more networks.

    Attributes
    ----------
    samples : dict of str → Sample
        By name of the image.
    planes : dict
        Network → layer, in order of computation → principal components of its mean features (up to six).
    predictions : dict
        Network → image → label map.
    scores : pandas.DataFrame
        One row per network and image: network, image, modality, f1 (NaN without labels), cells,
        cells_predicted.
    """

    samples: dict[str, Sample]
    planes: dict[str, dict[str, mf.Plane]]
    predictions: dict[str, dict[str, np.ndarray]]
    scores: pd.DataFrame

    @property
    def modalities(self) -> list[str]:
        """Names of the modalities, in order of appearance."""
        return list(dict.fromkeys(sample.modality for sample in self.samples.values()))

    def plane(self, view: "View") -> mf.Plane:
        """Return the principal components that a view looks at, or say that there are none."""
        if view.layer not in self.planes.get(view.network, ()):
            there = "; ".join(f"{network}: {', '.join(planes)}" for network, planes in self.planes.items())
            raise ValueError(f"layer {view.layer!r} of {view.network!r} was not read; there are {there}")
        return self.planes[view.network][view.layer]


@dataclass(frozen=True)
class View:
    """What of an atlas is on display.

    Attributes
    ----------
    network, layer : str
    components : (int, int, int)
        Numbers of the components to the right, upwards and (in space) in depth, counted from 1.
    modalities : tuple of str
        Empty means all.
    classes : tuple of str
    proxies : bool
        Show class weights and boundary, where the layer has them.
    image : str
        Name of the image shown beside the diagram.
    selected : tuple of str
        Names of highlighted images.
    """

    network: str
    image: str
    layer: str = mf.HEAD_INPUT
    components: tuple[int, int, int] = (1, 2, 3)
    modalities: tuple[str, ...] = ()
    classes: tuple[str, ...] = mf.PARTS
    proxies: bool = True
    selected: tuple[str, ...] = ()


def build_points(atlas: Atlas, view: View) -> pd.DataFrame:
    """Return the points of a view, one row each.

    Returns
    -------
    pandas.DataFrame
        Columns x, y, z (0 where there are fewer components), image, modality, class, pixels, f1 (of the
        image), score (the same in words), color, chosen (the image is selected, or nothing is). The
        components are those of all points: a filter leaves the others where they are.

    Raises
    ------
    ValueError
        If the network, the layer or a component does not exist.
    """
    plane = atlas.plane(view)
    count = plane.points.shape[1]
    for number in view.components[:2]:
        if not 1 <= number <= count:
            raise ValueError(f"component {number} was not computed: there are 1 to {count}")
    table = plane.features.table.assign(row=range(len(plane.points)), **_places(plane.points, view))
    f1 = atlas.scores[atlas.scores["network"] == view.network].set_index("image")["f1"]
    table = _shown(atlas, view, table.assign(f1=table["image"].map(f1)))
    return table[table["class"].isin(view.classes)].reset_index(drop=True)


def build_scores(atlas: Atlas, view: View) -> pd.DataFrame:
    """Return the scores of the shown images by modality, with color, chosen, score and height of a bar."""
    table = _shown(atlas, view, atlas.scores[atlas.scores["network"] == view.network])
    table = table.assign(height=table["f1"].clip(lower=LOWEST_BAR).fillna(0))
    return table.sort_values("modality", kind="stable", ignore_index=True)


def build_proxies(atlas: Atlas, view: View) -> pd.DataFrame:
    """Return the class weights of a view: columns name, x, y, z; no rows where there are none to show."""
    plane = atlas.plane(view)
    if plane.proxies is None or not view.proxies:
        return pd.DataFrame(columns=["name", "x", "y", "z"])
    names = plane.features.head.names[: len(plane.proxies)]
    return pd.DataFrame({"name": names, **_places(plane.proxies, view)})


def build_boundary(atlas: Atlas, view: View) -> mf.Boundary | None:
    """Return the network's border between background and interior in the view's plane, or None."""
    plane, axes = atlas.plane(view), view.components[:2]
    if plane.proxies is None or not view.proxies or axes[0] == axes[1]:
        return None
    return mf.decision_boundary(plane, components=axes)


def _places(points: np.ndarray, view: View) -> dict[str, np.ndarray]:
    """Return coordinates by axis, 0 where there are fewer components."""
    padded = np.pad(points, ((0, 0), (0, MOST_COMPONENTS)))
    return {axis: padded[:, number - 1] for axis, number in zip("xyz", view.components, strict=True)}


def _shown(atlas: Atlas, view: View, table: pd.DataFrame) -> pd.DataFrame:
    """Keep the rows of the view's modalities and add the columns color, chosen and score, F1 in words."""
    table = table[table["modality"].isin(view.modalities or atlas.modalities)]
    chosen = table["image"].isin(view.selected) | (not view.selected)
    score = ["no labels" if np.isnan(f1) else f"F1 {f1:.2f}" for f1 in table["f1"]]
    color = table["modality"].map(mf.modality_colors(atlas.modalities))
    return table.assign(color=color, chosen=chosen, score=score)


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
    scale = size / max(image.shape[:2])
    shape = [max(1, round(side * scale)) for side in image.shape[1::-1]]  # width, height
    way = cv2.INTER_AREA if scale < 1 else cv2.INTER_NEAREST
    small = cv2.resize(to_display(image), shape, interpolation=way)
    if labels is not None:
        cells = cv2.resize(labels.astype(float), shape, interpolation=cv2.INTER_NEAREST).astype(np.int32)
        paint_cells(small, cells)
    return np.round(255 * small).astype(np.uint8)


def pictures(atlas: Atlas, view: View, size: int = 192) -> dict[str, np.ndarray]:
    """Return thumbnails by caption: the image of a view, its true cells and the predicted ones."""
    sample = atlas.samples[view.image]
    row = atlas.scores.set_index(["network", "image"]).loc[(view.network, view.image)]
    made = {sample.name if sample.modality in sample.name else f"{sample.name} ({sample.modality})": None}
    if sample.labels is not None:
        made[f"truth, {row['cells']:.0f} cells"] = sample.labels
    score = "" if sample.labels is None else f", F1 {row['f1']:.2f}"
    made[f"prediction, {row['cells_predicted']} cells{score}"] = atlas.predictions[view.network][view.image]
    return {caption: thumbnail(sample.image, labels, size) for caption, labels in made.items()}


def static_view(atlas: Atlas, view: View) -> Figure:
    """Draw what the explorer shows: the diagram, one image with truth and prediction, F1 of all images."""
    from matplotlib import pyplot as plt

    figure = plt.figure(figsize=(8.5, 6.2), layout="constrained")
    left, right = figure.subfigures(1, 2, width_ratios=(2.6, 1))
    diagram, bars = left.subplots(2, 1, height_ratios=(2.6, 1))
    points, scores = build_points(atlas, view), build_scores(atlas, view)
    title, rows = f"{view.network}, layer {view.layer}", points["row"].to_numpy()
    look = {"proxies": view.proxies, "boundary": "logits" if view.proxies else None}
    mf.scatter(atlas.plane(view), diagram, title, components=view.components[:2], rows=rows, **look)
    ringed = points[points["image"].isin([*view.selected, view.image])]
    diagram.scatter(ringed["x"], ringed["y"], s=150, facecolors="none", edgecolors="#222222", linewidths=1.2)
    edges = np.where(scores["image"] == view.image, "#222222", "none")
    bars.bar(scores.index, scores["height"], color=scores["color"], edgecolor=edges, linewidth=1.5)
    bars.set(ylim=(0, 1), xticks=[], xlabel="one bar per image, by modality", ylabel="F1")
    bars.spines[["top", "right"]].set_visible(False)
    made = pictures(atlas, view)
    for ax, (caption, pixels) in zip(right.subplots(len(made), 1), made.items(), strict=True):
        picture(pixels, ax, textwrap.fill(caption, 28))
    return figure
