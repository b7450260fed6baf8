"""Draw the method in one figure: ``python docs/method.py`` writes docs/method.png.

A simulated image, the network that reads it, the two maps that the network returns, and the steps from there
to cells; everything is computed by the package.
"""

from __future__ import annotations

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes

import maunet_lite as ml
from maunet_lite import figures
from maunet_lite.network import INCHES, draw
from maunet_lite.postprocessing import segment


def panels(figure: plt.Figure) -> dict[str, Axes]:
    """Lay out the image and the network above, what follows from them below."""
    grid = figure.add_gridspec(2, 4, height_ratios=[1.75, 1], hspace=0.1, wspace=0.06)
    places = {"image": grid[0, 0], "network": grid[0, 1:]}
    places |= {name: grid[1, k] for k, name in enumerate(("classes", "distance", "markers", "cells"))}
    return {name: figure.add_subplot(place) for name, place in places.items()}


def main() -> None:
    """Write docs/method.png."""
    image = ml.simulate("phase-contrast", (200, 200), cell_diameter=28, rng=np.random.default_rng(11)).image
    model = ml.load_model("lite")
    maps = ml.predict(model, image)
    labels, steps = segment(maps)
    figure = plt.figure(figsize=(12, 10))
    axes = panels(figure)
    figures.show_image(image, ax=axes["image"], title="1  image, intensities\nscaled to [0.01, 0.99]")
    draw(model, ax=axes["network"])
    figure.canvas.draw()
    scale = np.ptp(axes["network"].transData.transform([[0, 0], [1, 0]])[:, 0]) / figure.dpi / INCHES
    for text in axes["network"].texts:  # the diagram is made for a figure of its own: shrink its words alike
        text.set_fontsize(scale * text.get_fontsize())
    axes["network"].set_title("2  one encoder, two decoders, and the proxy", fontsize=12)
    classes = maps.probabilities[:3].argmax(axis=0).astype(np.uint8)
    figures.show_classes(classes, ax=axes["classes"], title="3a  class map")
    axes["distance"].imshow(maps.distance, cmap="inferno", vmin=0, vmax=1)
    axes["distance"].set_title("3b  distance field")
    figures.show_labels(steps["union_markers"], ax=axes["markers"], title="4  one marker per cell")
    figures.overlay(image, labels, ax=axes["cells"], title="5  cells grown from them")
    for ax in axes.values():
        ax.axis("off")
        ax.title.set_fontsize(12)
        if ax.get_legend():
            ax.get_legend().remove()
    figure.savefig(Path(__file__).with_name("method.png"), dpi=100, bbox_inches="tight")


if __name__ == "__main__":
    main()
