"""What the proxy does to features: mean features, planes through their space, the decision boundary.

Comes in: a network and samples. Goes out: tables of features, measures of separability, scatter diagrams.
Paper: section 4.2, figures 1, 6 and 7. Notebook: 03.
"""

import sys

import lazy_loader

from maunet_lite import Room

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "mean_features": ["HEAD_INPUT", "class_head", "layers", "mean_features"],
        "plots": ["margin_strip", "measure_lines", "modality_colors", "scatter"],
        "separability": ["MEASURES", "discriminability"],
        "space": ["Boundary", "Features", "Head", "PARTS", "Plane", "decision_boundary", "margins", "pca"],
    },
)  # fmt: skip
sys.modules[__name__].__class__ = Room
