"""Mean features of few images that can be read by eye, and results of few runs."""

from __future__ import annotations

import numpy as np
import pandas as pd

from maunet_lite.features.space import Features, Head


def two_modalities(vectors, head=None, layer="class_decoder") -> Features:
    """Rows in turn background and interior, two images per modality."""
    n = len(vectors) // 2
    table = pd.DataFrame(
        {
            "image": np.repeat([f"im{k}" for k in range(n)], 2),
            "modality": np.repeat(["dic", "fluorescence"], [n, len(vectors) - n]),
            "class": ["background", "interior"] * n,
            "pixels": 1,
            "mask": "truth",
        }
    )
    return Features(np.asarray(vectors, np.float32), table, layer, head)


SQUARE = [[0, 0], [4, 0], [0, 2], [4, 2]]  # two images: backgrounds at x = 0, interiors at x = 4
SPLIT_AT_THREE = Head(
    np.array([[1.0, 0], [2.0, 0], [0, 1.0]]), np.array([3.0, 0, 0]), ("background", "interior", "boundary")
)

RUNS = pd.DataFrame(
    {
        "network": ["without", "with"] * 3,
        "seed": [0, 0, 1, 1, 2, 2],
        "silhouette": [0.1, 0.3, 0.5, 0.4, 0.3, 0.5],
        "linear_probe": [0.5, 1, 0.5, 1, np.nan, 1],
    }
)
