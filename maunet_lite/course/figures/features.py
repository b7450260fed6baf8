"""What the feature explorer shows, computed once.

`survey` looks at a few images with one or more networks: mean features of several layers, label maps, F1. A
`View` says what of that is on display. The rest are pure functions of the two, so that tests and headless
runs see what the widget shows: `figures.feature_pictures` draws it with matplotlib,
`figures.feature_explorer` with plotly.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from maunet_lite.data import Sample
from maunet_lite.evaluation import match_cells
from maunet_lite.features import (
    HEAD_INPUT,
    PARTS,
    Boundary,
    Plane,
    decision_boundary,
    layers,
    mean_features,
    modality_colors,
    pca,
)
from maunet_lite.inference import predict
from maunet_lite.network import MAUNet
from maunet_lite.postprocessing import PostprocessConfig, segment

MOST_COMPONENTS = 6
LOWEST_BAR = 0.02  # of F1: a bar of 0 must be seen, too, and be there to be clicked


@dataclass(frozen=True, eq=False)
class Atlas:
    """A few images as seen by one or more networks.

    Attributes
    ----------
    samples : tuple of Sample
    planes : dict
        Network → layer → principal components of its mean features (up to six).
    predictions : dict
        Network → label maps, in the order of `samples`.
    scores : pandas.DataFrame
        One row per network and image: network, image, modality, f1 (NaN without labels), cells,
        cells_predicted.
    """

    samples: tuple[Sample, ...]
    planes: dict[str, dict[str, Plane]]
    predictions: dict[str, tuple[np.ndarray, ...]]
    scores: pd.DataFrame

    @property
    def networks(self) -> list[str]:
        """Names of the networks."""
        return list(self.planes)

    @property
    def modalities(self) -> list[str]:
        """Names of the modalities, in order of appearance."""
        return list(dict.fromkeys(sample.modality for sample in self.samples))

    def layers(self, network: str) -> list[str]:
        """Return the layers that were read, in order of computation."""
        return list(self.planes[network])

    def plane(self, view: View) -> Plane:
        """Return the principal components that a view looks at, or say that there are none."""
        if view.network not in self.planes:
            raise ValueError(f"network {view.network!r} is not known; there are {', '.join(self.networks)}")
        if view.layer not in self.planes[view.network]:
            there = ", ".join(self.layers(view.network))
            raise ValueError(f"layer {view.layer!r} of {view.network!r} was not read; there are {there}")
        return self.planes[view.network][view.layer]

    def index(self, image: str) -> int:
        """Return the position of an image by name."""
        return [sample.name for sample in self.samples].index(image)


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
    layer: str = HEAD_INPUT
    components: tuple[int, int, int] = (1, 2, 3)
    modalities: tuple[str, ...] = ()
    classes: tuple[str, ...] = PARTS
    proxies: bool = True
    selected: tuple[str, ...] = ()


def survey(
    networks: Mapping[str, MAUNet],
    samples: Iterable[Sample],
    layer: str | Sequence[str] | None = None,
    postprocess: str = "default",
    device: str = "auto",
) -> Atlas:
    """Look at images with networks: features, cells, scores.

    Parameters
    ----------
    networks : dict of str → MAUNet
        By name.
    samples : CellDataset or iterable of Sample
        At least two images, named differently.
    layer : str or sequence of str, optional
        Layers to read; by default the class decoder from its deepest block, the distance decoder and the
        deepest encoder stage.
    postprocess : str
        Name of the post-processing that makes the cells; ``"none"`` takes the connected interiors.
    device : str

    Raises
    ------
    ValueError
        If two images share a name, or if there are too few for two components.
    """
    samples = tuple(samples)
    if len({sample.name for sample in samples}) < len(samples):
        raise ValueError("two images have the same name: the explorer tells them apart by name")
    planes, predictions, rows = {}, {}, []
    for name, network in networks.items():
        wanted = [layer] if isinstance(layer, str) else list(layer or _default_layers(network))
        found = mean_features(network, samples, wanted, device=device)
        planes[name] = {key: pca(f, n=min(MOST_COMPONENTS, *f.vectors.shape)) for key, f in found.items()}
        config = PostprocessConfig.named(postprocess)
        cells = tuple(segment(predict(network, s.image, device=device), config).labels for s in samples)
        predictions[name] = cells
        rows += [_score(name, sample, labels) for sample, labels in zip(samples, cells, strict=True)]
    return Atlas(samples, planes, predictions, pd.DataFrame(rows))


def _default_layers(network: MAUNet) -> list[str]:
    table = layers(network)["layer"]
    last_stage = [name for name in table if name.startswith("encoder.")][-1]
    last_block = [name for name in table if name.startswith("class_decoder.")][-1]  # equals "class_decoder"
    return [
        n
        for n in table
        if n in (last_stage, "distance_decoder") or (n.startswith("class_") and n != last_block)
    ]


def _score(network: str, sample: Sample, labels: np.ndarray) -> dict[str, object]:
    labelled = sample.labels is not None
    return {
        "network": network,
        "image": sample.name,
        "modality": sample.modality,
        "f1": match_cells(sample.labels, labels).f1 if labelled else np.nan,
        "cells": np.unique(sample.labels[sample.labels > 0]).size if labelled else np.nan,
        "cells_predicted": np.unique(labels[labels > 0]).size,
    }


def first_view(atlas: Atlas, **changes: object) -> View:
    """Return the view the explorer starts with: the first network, and the image with its lowest F1."""
    network = str(changes.get("network", atlas.networks[0]))
    scores = atlas.scores[atlas.scores["network"] == network]
    lowest = scores["f1"].fillna(1).to_numpy().argmin()
    return View(**{"network": network, "image": atlas.samples[int(lowest)].name} | changes)


def build_points(atlas: Atlas, view: View) -> pd.DataFrame:
    """Return the points of a view, one row each.

    Returns
    -------
    pandas.DataFrame
        Columns x, y, z (0 where there are fewer components), image, modality, class, pixels, f1 (of the
        image), color, chosen (the image is selected, or nothing is). The components are those of all
        points: a filter leaves the others where they are.

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
    coordinates = {
        axis: _component(plane, number) for axis, number in zip("xyz", view.components, strict=True)
    }
    table = plane.features.table.assign(row=np.arange(len(plane.points)), **coordinates)
    scores = atlas.scores[atlas.scores["network"] == view.network].set_index("image")["f1"]
    table = table.assign(
        f1=table["image"].map(scores),
        color=table["modality"].map(modality_colors(atlas.modalities)),
        chosen=table["image"].isin(view.selected) | (not view.selected),
    )
    shown = table["modality"].isin(view.modalities or atlas.modalities) & table["class"].isin(view.classes)
    return table[shown].reset_index(drop=True)


def _component(plane: Plane, number: int) -> np.ndarray:
    return plane.points[:, number - 1] if number <= plane.points.shape[1] else np.zeros(len(plane.points))


def build_proxies(atlas: Atlas, view: View) -> pd.DataFrame:
    """Return the class weights of a view: columns name, x, y, z; no rows where there are none to show."""
    plane = atlas.plane(view)
    if plane.proxies is None or not view.proxies:
        return pd.DataFrame(columns=["name", "x", "y", "z"])
    width = plane.proxies.shape[1]
    places = [
        plane.proxies[:, n - 1] if n <= width else np.zeros(len(plane.proxies)) for n in view.components
    ]
    return pd.DataFrame({"name": plane.features.head.names, **dict(zip("xyz", places, strict=True))})


def build_boundary(atlas: Atlas, view: View) -> Boundary | None:
    """Return the network's border between background and interior in the view's plane, or None."""
    plane = atlas.plane(view)
    x, y = view.components[:2]
    if plane.proxies is None or not view.proxies or x == y:
        return None
    return decision_boundary(plane, components=(x, y))


def build_scores(atlas: Atlas, view: View) -> pd.DataFrame:
    """Return the scores of the shown images by modality, with the columns color and chosen."""
    table = atlas.scores[atlas.scores["network"] == view.network]
    table = table[table["modality"].isin(view.modalities or atlas.modalities)]
    table = table.assign(
        color=table["modality"].map(modality_colors(atlas.modalities)),
        chosen=table["image"].isin(view.selected) | (not view.selected),
    )
    return table.sort_values("modality", kind="stable").reset_index(drop=True)


def limits(values: Sequence[float], margin: float = 0.08) -> tuple[float, float]:
    """Return where an axis begins and ends that shows all values and a little more.

    Examples
    --------
    >>> limits([0.0, 10.0], margin=0.1), limits([3.0])
    ((-1.0, 11.0), (2.0, 4.0))
    """
    low, high = float(np.min(values)), float(np.max(values))
    pad = margin * (high - low) or 1.0
    return low - pad, high + pad
