"""What every test shares: no display, few threads, quiet caches, and the folder of real cells."""

from __future__ import annotations

import os
from pathlib import Path

# Before numpy, torch and matplotlib are imported: small arrays gain nothing from many threads.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("MPLBACKEND", "Agg")

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent


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


@pytest.fixture(autouse=True)
def close_figures():
    """Close the figures that a test left open, if it drew any."""
    yield
    import sys

    pyplot = sys.modules.get("matplotlib.pyplot")
    if pyplot is not None:
        pyplot.close("all")
