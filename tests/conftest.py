"""What every test shares: no display, few threads, quiet caches, and the folder of real cells."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path

# Before numpy, torch and matplotlib are imported: small arrays gain nothing from many threads.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("MPLBACKEND", "Agg")

import hypothesis
import pytest

hypothesis.settings.register_profile("same every time", derandomize=True)
hypothesis.settings.load_profile("same every time")

REPOSITORY = Path(__file__).resolve().parent.parent

# Deliberately bad notebooks: looking for doctests would import them, and one of them kills its process.
collect_ignore = ["notebooks"]


@pytest.fixture(scope="session")
def repository() -> Path:
    """Return the top folder of the checkout."""
    return REPOSITORY


@pytest.fixture(scope="session")
def cells_folder() -> Path:
    """Return the folder of real images: $MAUNET_CELLS, or ../shared/data/cells beside the checkout."""
    folder = Path(os.environ.get("MAUNET_CELLS", REPOSITORY.parent / "shared" / "data" / "cells"))
    if not (folder / "images").is_dir():
        pytest.skip(f"no real images at {folder}: set MAUNET_CELLS to the folder `cells`")
    return folder


@pytest.fixture(scope="session")
def disks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dataset of bright disks: four images for training, two for validation."""
    import numpy as np
    import pandas as pd

    from maunet_lite.data import write_image, write_labels

    folder = tmp_path_factory.mktemp("disks")
    rows, columns = np.mgrid[:80, :96]
    table = []
    for i in range(6):
        labels = np.zeros((80, 96), dtype=np.int32)
        for k, (r, c) in enumerate([(20, 20 + 4 * i), (50, 30), (40, 70)], start=1):
            labels[(rows - r) ** 2 + (columns - c) ** 2 < 100] = k
        image = (40 + 160 * (labels > 0) + np.random.default_rng(i).normal(0, 5, labels.shape)).astype(
            np.uint8
        )
        write_image(folder / "images" / f"{i}.png", image)
        write_labels(folder / "labels" / f"{i}_label.tiff", labels)
        modality = "fluorescence" if i % 2 else "brightfield"
        table.append({"image": f"{i}.png", "modality": modality, "split": "val" if i > 3 else "train"})
    pd.DataFrame(table).to_csv(folder / "metadata.csv", index=False)
    return folder


@pytest.fixture
def stop_after() -> Callable[[pytest.MonkeyPatch, int], None]:
    """Return a function that sends this process Ctrl-C when a training run has done so many steps."""
    from maunet_lite.training.loop import _Loop

    def patched(patch: pytest.MonkeyPatch, step: int) -> None:
        take_step = _Loop._step

        def interrupt(loop: _Loop, batch: dict) -> None:
            take_step(loop, batch)
            if loop.run.step == step:
                os.kill(os.getpid(), signal.SIGINT)

        patch.setattr(_Loop, "_step", interrupt)

    return patched


@pytest.fixture(autouse=True)
def close_figures():
    """Close the figures that a test left open, if it drew any."""
    yield
    import sys

    pyplot = sys.modules.get("matplotlib.pyplot")
    if pyplot is not None:
        pyplot.close("all")
