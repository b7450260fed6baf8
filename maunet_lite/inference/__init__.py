"""A network and an image of any size to maps and cells: windows, scales, ensembles.

Comes in: an image and networks. Goes out: `Maps` from `predict`, a label map (H, W) int32 from `segment`.
Paper: section 4.1. Notebook: 07.
"""

import sys

import lazy_loader

from maunet_lite import Room

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "cells.segment": [
            "Settings", "Sized", "advice", "choose_size", "in_pixels", "predict_sized", "segment",
            "settings_of",
        ],
        "cells.size": ["Size"],
        "devices": ["checked_half", "resolve_device"],
        "ensembles": ["Heads", "Model", "as_models", "intensity_of"],
        "memory": ["current_memory", "left_for_maps", "zeros"],
        "predict": [
            "Grid", "MULTI_SCALE_LIMIT", "PUBLISHED_SCALES", "add_window", "checked_scales", "plan_windows",
            "predict", "to_planes",
        ],
        "prepared": ["Prepared", "prepare", "run_windows"],
        "windows": ["AxisWindow", "Taps", "mirrored", "plan_axis", "resample", "window_starts"],
    },
)  # fmt: skip
sys.modules[__name__].__class__ = Room
