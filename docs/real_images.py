"""Draw the micrographs that ship with scikit-image, as `lite` sees them: ``python docs/real_images.py``.

Beside each image: the cells of `lite-plain` at the image's own size, as the kit worked before it knew of
sizes, and those of `lite`, which estimates how large the cells are.
"""

from __future__ import annotations

from pathlib import Path

import matplotlib.pyplot as plt
from skimage import data

import maunet_lite as ml
from maunet_lite import figures
from maunet_lite.inference import predict_sized
from maunet_lite.postprocessing import segment

IMAGES = {"cell()": data.cell, "immunohistochemistry()": data.immunohistochemistry}


def main() -> None:
    """Write docs/real_images.jpg."""
    fig, axes = plt.subplots(len(IMAGES), 3, figsize=(9, 6.6), gridspec_kw={"height_ratios": [660 / 550, 1]})
    for row, (name, load) in zip(axes, IMAGES.items(), strict=True):
        image = load()
        figures.show_image(image, ax=row[0], title=f"skimage.data.{name}")
        before = ml.segment(image, "lite-plain", scales=(1.0,))
        figures.overlay(image, before, ax=row[1], title=f"lite-plain, as it is: {before.max()} found")
        maps, size = predict_sized("lite", image)
        after = segment(maps).labels
        title = f"lite, seen at {size.scales[0]:.2g} of its size: {after.max()} found"
        figures.overlay(image, after, ax=row[2], title=title)
    for ax in axes.ravel():
        ax.axis("off")
    fig.tight_layout(pad=0.4)
    fig.savefig(
        Path(__file__).with_name("real_images.jpg"), dpi=110, pil_kwargs={"quality": 85, "optimize": True}
    )


if __name__ == "__main__":
    main()
