"""Answers to the exercises of notebook 00: right ones in many styles, and plausible wrong ones."""

from decimal import Decimal
from fractions import Fraction

import numpy as np
import pandas as pd
import torch
from scipy import ndimage
from skimage.measure import regionprops, regionprops_table


def loop(image, labels):
    means = []
    for k in range(1, labels.max() + 1):
        total = count = 0
        for value, label in zip(image.ravel().tolist(), labels.ravel().tolist(), strict=True):
            if label == k:
                total, count = total + value, count + 1
        means.append(total / count)
    return means


def cells(measure):
    return lambda image, labels: np.array([measure(image[labels == k]) for k in range(1, labels.max() + 1)])


def accumulated(image, labels):
    sums = np.zeros(labels.max() + 1)
    np.add.at(sums, labels, image)
    return sums[1:] / np.bincount(labels.ravel())[1:]


def bincount(image, labels):
    sums = np.bincount(labels.ravel(), weights=image.ravel().astype(float))
    return sums[1:] / np.bincount(labels.ravel())[1:]


def by_pandas(image, labels):
    means = pd.Series(image.ravel().astype(float)).groupby(labels.ravel()).mean()
    return means[means.index > 0]


def by_torch(image, labels):
    return torch.stack([torch.tensor(image[labels == k]).double().mean() for k in range(1, labels.max() + 1)])


def overflown(image, labels):
    return cells(lambda pixels: np.add.reduce(pixels, dtype=np.uint8) / len(pixels))(image, labels)


def by_props(image, labels):
    return [cell.intensity_mean for cell in regionprops(labels, image)]


RIGHT = {
    "00.1": {
        "index": cells(np.mean),
        "sum over size": cells(lambda pixels: pixels.sum() / pixels.size),
        "loop": loop,
        "bincount": bincount,
        "add.at": accumulated,
        "scipy": lambda image, labels: ndimage.mean(image, labels, range(1, labels.max() + 1)),
        "labeled_comprehension": lambda image, labels: ndimage.labeled_comprehension(
            image, labels, np.arange(1, labels.max() + 1), np.mean, float, 0
        ),
        "skimage": by_props,
        "table": lambda i, k: regionprops_table(k, i, properties=["mean_intensity"])["mean_intensity"],
        "pandas": by_pandas,
        "torch": by_torch,
        "iterator": lambda image, labels: (image[labels == k].mean() for k in np.unique(labels[labels > 0])),
        "tuple": lambda image, labels: tuple(cells(np.mean)(image, labels)),
        "masked": lambda i, k: np.array(
            [np.ma.masked_where(k != n, i).mean() for n in range(1, k.max() + 1)]
        ),
    },
    "00.2": {
        "formula": 2 * 8 / (2 * 8 + 4 + 2),
        "rounded": 0.727,
        "two digits": 0.73,
        "numpy": np.float32(16 / 22),
        "array": np.array([16 / 22]),
        "array without axes": np.array(16 / 22),
        "fraction": Fraction(8, 11),
        "decimal": Decimal("0.7273"),
        "torch": torch.tensor(16 / 22),
        "harmonic mean": 2 / (1 / (8 / 12) + 1 / (8 / 10)),
        "list": [8 / 11],
        "series": pd.Series([8 / 11]),
    },
}
WRONG = {
    "00.1": {
        "median": cells(np.median),
        "middle": cells(lambda pixels: (int(pixels.min()) + int(pixels.max())) / 2),
        "sum": cells(np.sum),
        "sum that overflows": overflown,
        "largest": cells(np.max),
        "background counted as a cell": lambda i, k: [i[k == n].mean() for n in range(k.max() + 1)],
        "last cell left out": lambda i, k: [i[k == n].mean() for n in range(1, k.max())],
        "mean of the image": lambda image, labels: image.mean(),
        "divided by all pixels": lambda i, k: cells(np.sum)(i, k) / i.size,
        "mean of the cells' pixels": lambda image, labels: image[labels > 0].mean(),
        "whole numbers": lambda i, k: np.floor(bincount(i, k)),
        "the image's type": lambda i, k: bincount(i, k).astype(i.dtype),
        "rounded": lambda i, k: bincount(i, k).round(),
        "one area for all": lambda i, k: bincount(i, k) * (a := np.bincount(k.ravel())[1:]) / a.mean(),
        "box around the cell": lambda i, k: [i[box].mean() for box in ndimage.find_objects(k)],
        "black pixels left out": cells(lambda pixels: pixels[pixels > 0].mean()),
        "other way round": lambda i, k: bincount(i, k)[::-1],
        "printed only": lambda image, labels: None,
        "labels averaged": lambda i, k: [k[k == n].mean() for n in range(1, k.max() + 1)],
        "dict": lambda i, k: {n: i[k == n].mean() for n in range(1, k.max() + 1)},
    },
    "00.2": {
        "recall": 8 / 10,
        "precision": 8 / 12,
        "missed cells forgotten": 16 / 20,
        "accuracy": 8 / 14,
        "mean of precision and recall": (8 / 12 + 8 / 10) / 2,
        "tp = 10": 20 / 26,
        "percent": 72.7,
        "upside down": 22 / 16,
        "one digit": 0.7,
        "nothing": 0,
        "words": "about 0.7",
        "nan": float("nan"),
    },
}
