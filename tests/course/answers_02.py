"""Answers to the exercises of notebook 02: right ones in many styles, and plausible wrong ones."""

from fractions import Fraction

import numpy as np
import pandas as pd
import torch
from torch import cat


def in_steps(x, skip, up, block):
    x = up(x)
    x = torch.cat((x, skip), 1)
    return block(x)


def by_hand(x, skip, up, block):
    x = up(x)
    joined = torch.empty(len(x), x.shape[1] + skip.shape[1], *x.shape[2:])
    joined[:, : x.shape[1]], joined[:, x.shape[1] :] = x, skip
    return block(joined)


def image_by_image(x, skip, up, block):
    return torch.stack([block(cat([a, b])[None])[0] for a, b in zip(up(x), skip, strict=True)])


RIGHT = {
    "02.1": {
        "as in the package": lambda x, skip, up, block: block(cat([up(x), skip], dim=1)),
        "in steps": in_steps,
        "concat": lambda x, skip, up, block: block(torch.concat([up(x), skip], axis=1)),
        "concatenate": lambda x, skip, up, block: block(torch.concatenate((up(x), skip), dim=-3)),
        "hstack": lambda x, skip, up, block: block(torch.hstack([up(x), skip])),
        "by hand": by_hand,
        "image by image": image_by_image,
        "numpy": lambda x, skip, up, block: block(torch.from_numpy(np.concatenate([up(x), skip], 1))),
        "without gradients": lambda x, skip, up, block: block(cat([up(x), skip], 1)).detach(),
        "array": lambda x, skip, up, block: block(cat([up(x), skip], 1)).numpy(),
        "list": lambda x, skip, up, block: block(cat([up(x), skip], 1)).tolist(),
        "channels in a loop": lambda x, s, up, block: block(torch.stack([*up(x).unbind(1), *s.unbind(1)], 1)),
    },
    "02.2": {
        "number": 25,
        "sum": 24 + 1,
        "float": 25.0,
        "numpy": np.int64(25),
        "array": np.array([25]),
        "torch": torch.tensor(25),
        "difference": 39_403_021 - 39_402_996,
        "product": 1 * 1 * 24 * 1 + 1,
        "fraction": Fraction(25),
        "series": pd.Series([25]),
        "list": [25],
        "layer": sum(p.numel() for p in torch.nn.Conv2d(24, 1, 1).parameters()),
    },
    "02.3": {
        "b": "b",
        "capital": " B ",
        "brackets": "(b)",
        "one bracket": "b)",
        "full stop": "b.",
        "bold": "**b**",
        "quoted": "'b'",
        "list": ["b"],
        "numpy": np.str_("b"),
        "with its sentence": "b: data, loss and optimiser fit together",
        "square brackets": "[B]",
        "comma": "b, it may have seen too little",
        "in words": "Answer b",
        "statement": "statement (b)",
        "an article follows": "b. A network can learn an image by heart",
    },
}
WRONG = {
    "02.1": {
        "skip first": lambda x, skip, up, block: block(cat([skip, up(x)], dim=1)),
        "skip forgotten": lambda x, skip, up, block: block(up(x)),
        "twice the same": lambda x, skip, up, block: block(cat([up(x), up(x)], dim=1)),
        "not enlarged": lambda x, skip, up, block: block(cat([x, skip], dim=1)),
        "not refined": lambda x, skip, up, block: cat([up(x), skip], dim=1),
        "refined before": lambda x, skip, up, block: cat([block(up(x)), skip], dim=1),
        "each refined": lambda x, skip, up, block: cat([block(up(x)), block(skip)], dim=1),
        "along the batch": lambda x, skip, up, block: block(cat([up(x), skip], dim=0)),
        "along the rows": lambda x, skip, up, block: block(cat([up(x)[:, :4], skip], dim=2)),
        "added": lambda x, skip, up, block: block(up(x)[:, :4] + skip),
        "refined twice": lambda x, skip, up, block: block(block(cat([up(x), skip], dim=1))),
        "skip made small": lambda x, skip, up, block: block(cat([x, skip[..., ::2, ::2]], dim=1)),
        "nothing returned": lambda x, skip, up, block: None,
        "enlarged after": lambda x, skip, up, block: up(block(cat([x, skip[..., ::2, ::2]], dim=1))),
    },
    "02.2": {
        "bias forgotten": 24,
        "whole head": 100,
        "three classes": 75,
        "a little more": 25.9,
        "a 3×3 convolution": 24 * 9 + 1,
        "a bias per feature": 48,
        "one": 1,
        "negative": -25,
        "both decoders": 50,
        "words": "twenty-five",
        "none": float("nan"),
        "all": 39_403_021,
    },
    "02.3": {
        "a": "a",
        "c": "c",
        "A": "(A)",
        "d": "d",
        "number": 2,
        "empty": "",
        "no letter": "the second",
        "yes": True,
        "two": "ab",
        "both": "a and b",
        "list of two": ["b", "c"],
        "two letters": "b, a",
        "word": "because",
        "c.": "c.",
    },
}
