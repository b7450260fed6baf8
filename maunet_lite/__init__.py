"""MAUNet as a small package to read: cell segmentation in four modalities of microscopy.

>>> import maunet_lite as ml
>>> ml.__version__.count(".")
2

The names below are loaded on first use, so that importing the package takes milliseconds and a lesson
(or ``maunet-lite --help``) does not wait for torch.
"""

from __future__ import annotations

import importlib
from typing import Any

__version__ = "0.1.0"

# public name: module that defines it
_EXPORTS = {
    "build_model": "model",
    "evaluate": "evaluation",
    "load_dataset": "datasets",
    "load_model": "checkpoints",
    "make_targets": "preprocessing",
    "match_cells": "metrics",
    "normalize": "preprocessing",
    "predict": "inference",
    "read_image": "images",
    "read_labels": "images",
    "seed_everything": "training",
    "segment": "inference",
    "simulate": "simulation",
    "train": "training",
    "write_labels": "images",
}

__all__ = ["__version__", *sorted(_EXPORTS)]


def __getattr__(name: str) -> Any:
    """Import the module that defines `name` when it is first asked for."""
    if name in _EXPORTS:
        value = getattr(importlib.import_module(f"{__name__}.{_EXPORTS[name]}"), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *_EXPORTS])
