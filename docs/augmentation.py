"""Draw what training sees: ``python docs/augmentation.py``.

docs/augmentation.png shows two simulated images and a patch of each after every change of recipe ``lite``,
docs/simulated_extra.png a picture of each kind of the dataset ``simulated-extra``, scaled as for the network.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from PIL import Image

from maunet_lite import figures
from maunet_lite.data import EXTRA_KINDS, Simulated, simulate_extra
from maunet_lite.preprocessing import AugmentationConfig, build_augmentation, median_diameter, normalize

HERE, SIDE = Path(__file__).parent, 128
PLAIN = AugmentationConfig(
    patch=SIDE, sizes=(24, 24), zoom=(0.1, 8), p_geometry=0, p_intensity=0, padding="black", around_cell=1
)
# What each column shows, by the options that differ from those of the first, and a seed that shows it well.
COLUMNS = {
    "cells of 24 pixels": ({}, 3),
    "of 10 pixels": ({"sizes": (10, 10)}, 3),
    "of 60 pixels": ({"sizes": (60, 60)}, 3),
    "colour": ({"p_colour": 1.0}, 5),
    "polarity": ({"p_polarity": 1.0}, 3),
    "debris": ({"p_debris": 1.0}, 3),
    "light": ({"p_light": 1.0}, 4),
    "sparse": ({"p_sparse": 1.0}, 3),
    "focus": ({"p_focus": 1.0}, 5),
    "noise": ({"p_noise": 1.0}, 6),
}
ROWS = {"dim-and-bright": 4, "blood": 8}  # kinds of `simulated-extra`, and their seeds


def item(picture: Simulated) -> dict:
    """Return a picture as the augmentation takes it."""
    image, labels = np.ascontiguousarray(normalize(picture.image).transpose(2, 0, 1)), picture.labels + 255
    labels[picture.labels == 0] = 0
    image = image if picture.image.ndim == 3 else image[:1]
    return {"image": image, "labels": np.stack([labels, 0 * labels]), "diameter": median_diameter(labels)}


def shown(patch: dict) -> np.ndarray:
    """Return a patch as a colour image with the boundaries of its cells."""
    image = np.broadcast_to(patch["image"], (3, SIDE, SIDE)).transpose(1, 2, 0).copy()
    image[patch["classes"][0] == 2] = (1.0, 0.65, 0.1)
    return image


def save(figure: plt.Figure, name: str) -> None:
    """Write a figure in 256 colours: noise makes large files."""
    path = HERE / name
    figure.savefig(path, dpi=100, bbox_inches="tight", pad_inches=0.05)
    plt.close(figure)
    Image.open(path).convert("RGB").quantize(256, dither=Image.Dither.NONE).save(path, optimize=True)


def draw_changes() -> None:
    """Write docs/augmentation.png."""
    rows = 2 * len(ROWS)
    figure, axes = plt.subplots(rows, 5, figsize=(5 * 1.5, rows * 1.68))
    for block, (kind, seed) in enumerate(ROWS.items()):
        picture = item(simulate_extra(kind, (400, 400), rng=np.random.default_rng(seed)))
        for place, (name, (options, draw)) in enumerate(COLUMNS.items()):
            chain = build_augmentation(replace(PLAIN, **options)).set_random_state(seed=draw)
            panel = axes[2 * block + place // 5, place % 5]
            figures.show_image(shown(chain(picture)), ax=panel, title=name)
    figure.tight_layout(pad=0.3)
    save(figure, "augmentation.png")


def draw_kinds() -> None:
    """Write docs/simulated_extra.png."""
    figure, axes = plt.subplots(3, 5, figsize=(5 * 1.5, 3 * 1.68))
    for number, (panel, kind) in enumerate(zip(axes.flat, EXTRA_KINDS, strict=True)):
        picture = simulate_extra(kind, (SIDE + 32, SIDE + 32), rng=np.random.default_rng([1, number]))
        figures.show_image(normalize(picture.image), ax=panel, title=kind)
    figure.tight_layout(pad=0.3)
    save(figure, "simulated_extra.png")


if __name__ == "__main__":
    draw_changes()
    draw_kinds()
