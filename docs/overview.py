"""Draw the picture on top of the README: ``python docs/overview.py``.

Four simulated microscopes, what the shipped network predicts for each, and the cells made from it, with the
score against the simulated truth.
"""

from __future__ import annotations

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

import maunet_lite as ml
from maunet_lite import figures
from maunet_lite.data import MODALITIES
from maunet_lite.postprocessing import segment

SEEDS = {"brightfield": 15, "fluorescence": 3, "phase-contrast": 8, "dic": 7}  # about as good as most
ROWS = ("image", "class map", "distance field", "cells")


def main() -> None:
    """Write docs/overview.png."""
    model = ml.load_model("lite")
    fig, axes = plt.subplots(len(ROWS), len(MODALITIES), figsize=(8, 8.4))
    for column, modality in enumerate(MODALITIES):
        rng = np.random.default_rng(SEEDS[modality])
        image, truth = ml.simulate(modality, (224, 224), cell_diameter=28, rng=rng)
        maps = ml.predict(model, image)
        labels = segment(maps).labels
        figures.show_image(image, ax=axes[0, column], title=modality)
        figures.show_classes(
            maps.probabilities[:3].argmax(axis=0).astype(np.uint8), ax=axes[1, column], title=""
        )
        axes[2, column].imshow(maps.distance, cmap="inferno", vmin=0, vmax=1)
        f1 = ml.match_cells(truth, labels).f1
        figures.overlay(image, labels, ax=axes[3, column], title=f"{labels.max()} cells, F1 {f1:.2f}")
    for row, name in enumerate(ROWS):
        axes[row, 0].text(
            -0.06, 0.5, name, rotation=90, va="center", ha="right", transform=axes[row, 0].transAxes
        )
    for ax in axes.ravel():
        ax.axis("off")
        if ax.get_legend():
            ax.get_legend().remove()
    fig.subplots_adjust(left=0.04, right=1, bottom=0, top=0.97, wspace=0.02, hspace=0.13)
    fig.savefig(Path(__file__).with_name("overview.png"), dpi=110)


if __name__ == "__main__":
    main()
