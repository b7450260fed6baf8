"""Figures from arrays: images, cells, maps, errors, scores.

Comes in: arrays, label maps and tables. Goes out: matplotlib axes, colours.
Paper: its figures. Notebooks: all.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "canvas": ["picture", "take_axes", "tidy"],
        "colors": [
            "CLASS_COLORS", "CLASS_NAMES", "ERROR_COLORS", "SERIES", "outlines", "paint_cells",
            "random_colors", "rgb", "to_display",
        ],
        "diagrams": ["learning_curve", "score_strip", "show_lines"],
        "plots": [
            "errors", "overlay", "show_classes", "show_distance", "show_image", "show_labels",
            "show_maps", "show_steps",
        ],
    },
)  # fmt: skip
