"""Answers to the exercises of notebook 01: right ones in many styles, and plausible wrong ones."""

import math

import cv2
import numpy as np
import pandas as pd
import torch
from scipy import ndimage
from scipy.ndimage import distance_transform_cdt, distance_transform_edt
from skimage.exposure import rescale_intensity
from sklearn.preprocessing import minmax_scale

from maunet_lite.preprocessing import class_map, distance_field


# --- 01.1
def formula(image, low=0.01, high=0.99):
    least, most = float(image.min()), float(image.max())
    if most == least:
        return np.full(image.shape, low)
    return low + (high - low) * (image - least) / (most - least)


def unless_constant(scaled):
    return lambda image: scaled(image) if np.ptp(image) else np.full(image.shape, 0.01)


def pixel_by_pixel(image):
    least, most = float(image.min()), float(image.max())
    scaled = np.empty(image.shape)
    for place, value in np.ndenumerate(image):
        scaled[place] = 0.01 + 0.98 * (value - least) / (most - least) if most > least else 0.01
    return scaled


def by_torch(image):
    x = torch.as_tensor(image, dtype=torch.float64)
    return 0.01 + 0.98 * (x - x.min()) / (x.max() - x.min()).clamp(min=1e-9)


def in_place(image):
    image = image.astype(float)
    image -= image.min()
    image /= image.max() or 1
    image *= 0.98
    image += 0.01
    return image


def per_channel(image):
    if image.ndim == 2:
        return formula(image)
    return np.stack([formula(channel) for channel in np.moveaxis(image, -1, 0)], axis=-1)


def without_constant(image):
    with np.errstate(invalid="ignore"):
        return 0.01 + 0.98 * (image - image.min()) / np.ptp(image)


# --- 01.2
def ends(scaled, room=1e-4):
    return (scaled < 0.01 + room) | (scaled > 0.99 - room)


def counted(scaled, labels):
    clipped = total = 0
    for value, label in zip(scaled.ravel(), labels.ravel(), strict=True):
        if label:
            total += 1
            clipped += abs(value - 0.01) < 1e-5 or abs(value - 0.99) < 1e-5
    return clipped / total


def per_cell(scaled, labels):
    return np.mean([ends(scaled)[labels == k].mean() for k in np.unique(labels[labels > 0])])


def by_query(scaled, labels):
    table = pd.DataFrame({"value": scaled.ravel(), "cell": labels.ravel()}).query("cell > 0")
    return 1 - table["value"].between(0.0101, 0.9899).mean()


# --- 01.3
def field(cell, beta=1.0, depth=distance_transform_edt):
    depth = depth(cell)
    return cell / (1 + beta * (depth.max() - depth) / np.sqrt(cell.sum()))


def gamma(cell):
    depth = distance_transform_edt(cell)
    return depth.max() - depth


def opencv(cell):
    return cv2.distanceTransform(cell.astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE).astype(float)


def brute_force(cell):
    outside = np.argwhere(~cell)
    depth = np.zeros(cell.shape)
    for place in np.argwhere(cell):
        depth[tuple(place)] = np.sqrt(((outside - place) ** 2).sum(axis=1)).min()
    return depth


def assigned(cell, beta=1.0):
    result = np.zeros(cell.shape)
    result[cell] = 1 / (1 + beta * gamma(cell)[cell] / math.sqrt(np.count_nonzero(cell)))
    return result


def multiplied(cell, beta=1.0):
    alpha = cell.sum() ** -0.5
    return cell * (1 + alpha * beta * gamma(cell)) ** -1.0


def pixels(cell, beta=1.0):
    values, side = gamma(cell), math.sqrt(cell.sum())
    rows, columns = cell.shape
    return [
        [1 / (1 + beta * values[i, j] / side) if cell[i, j] else 0.0 for j in range(columns)]
        for i in range(rows)
    ]


def from_centre(cell, beta=1.0):
    rows, columns = np.indices(cell.shape)
    row, column = np.argwhere(cell).mean(axis=0)
    return cell / (1 + beta * np.hypot(rows - row, columns - column) / np.sqrt(cell.sum()))


# --- 01.4
def mended(labels, edge=0, least=1.0, empty=True, always=None, region=None):
    """The solution, with mistakes to choose from."""
    classes = np.zeros(labels.shape, dtype=np.uint8)
    for k in np.unique(labels[labels > 0]):
        cell = labels == k
        inside = np.pad(cell if region is None else region(labels), edge)
        depth = distance_transform_edt(inside)[edge : edge + cell.shape[0], edge : edge + cell.shape[1]][cell]
        thickness = always or max(np.sqrt(cell.sum()) / 20, least)
        whole = empty and not (depth > thickness).any()
        classes[cell] = np.where(depth == depth.max() if whole else depth > thickness, 1, 2)
    return classes


def in_turn(labels):
    classes = np.zeros(labels.shape, dtype=np.uint8)
    for k in range(1, labels.max() + 1):
        cell = labels == k
        layer = cell & (distance_transform_edt(cell) == 1)
        thick = distance_transform_edt(~layer) <= math.ceil(math.sqrt(cell.sum()) / 40)
        classes[thick] = 2
        if (cell & ~thick).sum() >= 16:
            classes[cell & ~thick] = 1
    return classes


def in_boxes(labels):
    classes = np.zeros(labels.shape, int)
    for k, box in enumerate(ndimage.find_objects(labels), 1):
        if box is None:
            continue
        grown = tuple(slice(max(s.start - 1, 0), s.stop + 1) for s in box)
        part = np.where(labels[grown] == k, k, 0)
        classes[grown] += mended(part)
    return classes


def by_dictionary(labels):
    result = np.zeros(labels.shape)
    for k in set(labels.ravel().tolist()) - {0}:
        depth = distance_transform_edt(labels == k)
        rim = min(max((labels == k).sum() ** 0.5 / 20, 1), depth.max() - 1e-6)
        result += (labels == k) * np.where(depth > rim, 1, 2)
    return result


def by_opencv(labels):
    result = np.zeros_like(labels)
    for k in np.unique(labels)[np.unique(labels) > 0]:
        depth = opencv(labels == k)
        thickness = max(np.sqrt((labels == k).sum()) / 20, 1)
        inner = depth > thickness + 1e-4
        if not inner.any():
            inner = depth >= depth.max() - 1e-4
        result[labels == k], result[inner & (labels == k)] = 2, 1
    return result


def by_ravel(labels):
    flat = np.zeros(labels.size, int)
    for k in np.unique(labels):
        if k:
            where = np.flatnonzero(labels == k)
            depth = distance_transform_edt(labels == k).ravel()[where]
            cut = max(math.sqrt(len(where)) / 20, 1)
            flat[where] = 2
            flat[where[depth > cut] if depth.max() > cut else where[depth == depth.max()]] = 1
    return flat.reshape(labels.shape)


def spilling(labels):
    classes = mended(labels)
    return np.where((classes == 0) & ndimage.maximum_filter(classes == 2, 3), 2, classes)


def numbered_anew(labels):
    return mended(np.unique(labels, return_inverse=True)[1].reshape(labels.shape))


RIGHT = {
    "01.1": {
        "formula": formula,
        "interpolation": unless_constant(lambda i: np.interp(i, (i.min(), i.max()), (0.01, 0.99))),
        "pixel by pixel": pixel_by_pixel,
        "torch": by_torch,
        "in place": in_place,
        "list": lambda image: formula(image).tolist(),
        "float32": lambda image: formula(image).astype(np.float32),
        "skimage": unless_constant(lambda i: rescale_intensity(i.astype(float), "image", (0.01, 0.99))),
        "sklearn": lambda i: minmax_scale(i.astype(float).ravel(), (0.01, 0.99)).reshape(i.shape),
        "opencv": unless_constant(
            lambda i: cv2.normalize(i.astype(float).ravel(), None, 0.01, 0.99, cv2.NORM_MINMAX).reshape(
                i.shape
            )
        ),
        "from the top": unless_constant(lambda i: 0.99 - 0.98 * (i.max() - i.astype(float)) / np.ptp(i)),
        "weighted ends": unless_constant(
            lambda i: ((i - 1.0 * i.min()) * 0.99 + (i.max() - 1.0 * i) * 0.01) / np.ptp(i)
        ),
        "polyfit": unless_constant(lambda i: np.polyval(np.polyfit([i.min(), i.max()], [0.01, 0.99], 1), i)),
    },
    "01.2": {
        "index first": lambda scaled, labels: np.mean(ends(scaled[labels > 0])),
        "count": lambda scaled, labels: (ends(scaled) & (labels > 0)).sum() / (labels > 0).sum(),
        "count_nonzero": lambda s, k: np.count_nonzero(ends(s)[k > 0]) / np.count_nonzero(k),
        "loop": counted,
        "isclose": lambda s, k: np.mean(np.isclose(s[k > 0], 0.01) | np.isclose(s[k > 0], 0.99)),
        "minus the others": lambda s, k: 1 - np.mean((s[k > 0] > 0.0101) & (s[k > 0] < 0.9899)),
        "average with weights": lambda s, k: np.average(ends(s), weights=k > 0),
        "larger room": lambda s, k: ends(s, 1e-3)[k != 0].mean(),
        "smaller room": lambda s, k: ends(s, 1e-6)[k.astype(bool)].mean(),
        "pandas": by_query,
        "array": lambda s, k: np.array([ends(s)[k > 0].mean()]),
        "python": lambda s, k: float(sum(ends(s)[k > 0])) / len(s[k > 0]),
        "from the middle": lambda s, k: (abs(s[k > 0] - 0.5) > 0.4899).mean(),
        "masked": lambda s, k: np.ma.masked_array(ends(s), k == 0).mean(),
    },
    "01.3": {
        "times the mask": field,
        "where": lambda cell, beta=1.0: np.where(
            cell, 1 / (1 + beta * gamma(cell) / np.sqrt(cell.sum())), 0.0
        ),
        "opencv": lambda cell, beta=1.0: field(cell, beta, opencv),
        "brute force": lambda cell, beta=1.0: field(cell, beta, brute_force),
        "assigned": assigned,
        "multiplied": multiplied,
        "pixels": pixels,
        "torch": lambda cell, beta=1.0: torch.tensor(field(cell, beta)),
        "table": lambda cell, beta=1.0: pd.DataFrame(field(cell, beta)),
        "float32": lambda cell, beta=1.0: field(cell, beta).astype(np.float32),
        "the package's": lambda cell, beta=1.0: distance_field(cell.astype(int), beta=beta, center="authors"),
        "square root first": lambda c, beta=1.0: c * np.sqrt(c.sum()) / (np.sqrt(c.sum()) + beta * gamma(c)),
    },
    "01.4": {
        "numpy": mended,
        "the package's": class_map,
        "boxes": in_boxes,
        "dictionary": by_dictionary,
        "opencv": by_opencv,
        "flat": by_ravel,
        "list": lambda labels: mended(labels).tolist(),
        "torch": lambda labels: torch.from_numpy(mended(labels)),
        "numbered anew": numbered_anew,
        "table": lambda labels: pd.DataFrame(class_map(labels)),
        "float": lambda labels: mended(labels).astype(float),
    },
}
WRONG = {
    "01.1": {
        "from 0 to 1": lambda image: (image - image.min()) / max(np.ptp(image), 1),
        "NaN for a constant image": without_constant,
        "a range of one at least": lambda i: 0.01 + 0.98 * (i - i.min()) / max(i.max() - i.min(), 1),
        "each channel by itself": per_channel,
        "0.99 wide": lambda image: np.minimum(0.01 + 0.99 * (formula(image) - 0.01) / 0.98, 1.0),
        "minimum not subtracted": lambda i: 0.01 + 0.98 * i / max(i.max(), 1e-9),
        "divided by 255": lambda image: 0.01 + 0.98 * image / 255,
        "clipped only": lambda image: np.clip(image, 0.01, 0.99),
        "scaled to 1 and clipped": unless_constant(
            lambda i: np.clip((i - i.min()) / np.ptp(i), 0.01, 0.99),
        ),
        "other way round": lambda image: formula(image, 0.99, 0.01),
        "whole numbers only": lambda image: formula(image.astype(int)),
        "standardised": lambda image: (image - image.mean()) / (image.std() or 1),
        "constant becomes 0": lambda image: formula(image) if np.ptp(image) else np.zeros(image.shape),
        "constant stays": lambda image: formula(image) if np.ptp(image) else image,
        "flattened": lambda image: formula(image).ravel(),
        "row by row": lambda i: np.stack([formula(row) for row in i]) if i.shape[0] > 1 else formula(i),
    },
    "01.2": {
        "of all pixels": lambda scaled, labels: np.mean(ends(scaled)),
        "clipped ones that are cells": lambda scaled, labels: np.mean(labels[ends(scaled)] > 0),
        "cells' clipped pixels, of all": lambda scaled, labels: np.mean(ends(scaled) & (labels > 0)),
        "bright end only": lambda scaled, labels: np.mean(scaled[labels > 0] > 0.9899),
        "dark end only": lambda scaled, labels: np.mean(scaled[labels > 0] < 0.0101),
        "float32 compared exactly": lambda s, k: np.mean(np.isin(s[k > 0], (0.01, 0.99))),
        "and in place of or": lambda s, k: np.mean((s[k > 0] < 0.0101) & (s[k > 0] > 0.9899)),
        "mean of the cells": per_cell,
        "too much room": lambda s, k: ends(s, 0.01)[k > 0].mean(),
        "count": lambda s, k: ends(s)[k > 0].sum(),
        "percent": lambda s, k: 100 * ends(s)[k > 0].mean(),
        "the others": lambda s, k: 1 - ends(s)[k > 0].mean(),
        "background": lambda s, k: ends(s)[k == 0].mean() if (k == 0).any() else 0,
        "first cell only": lambda s, k: ends(s)[k == k.max()].mean(),
    },
    "01.3": {
        "background not zero": lambda c, beta=1.0: 1 / (1 + beta * gamma(c) / np.sqrt(c.sum())),
        "no alpha": lambda cell, beta=1.0: cell / (1 + beta * gamma(cell)),
        "S without its root": lambda cell, beta=1.0: cell / (1 + beta * gamma(cell) / cell.sum()),
        "alpha upside down": lambda c, beta=1.0: c / (1 + beta * gamma(c) * np.sqrt(c.sum())),
        "beta forgotten": lambda cell, beta=1.0: field(cell),
        "depth instead of its lack": lambda c, beta=1.0: (
            c / (1 + beta * distance_transform_edt(c) / np.sqrt(c.sum()))
        ),
        "from the centre": from_centre,
        "chessboard": lambda c, beta=1.0: field(c, beta, lambda m: distance_transform_cdt(m, "chessboard")),
        "taxicab": lambda c, beta=1.0: field(c, beta, lambda m: distance_transform_cdt(m, "taxicab")),
        "area of the image": lambda c, beta=1.0: c / (1 + beta * gamma(c) / np.sqrt(c.size)),
        "depth alone": lambda cell, beta=1.0: distance_transform_edt(cell),
        "depth over its maximum": lambda c, beta=1.0: (
            distance_transform_edt(c) / distance_transform_edt(c).max()
        ),
        "distance outside": lambda c, beta=1.0: field(c, beta, lambda m: distance_transform_edt(~m)),
        "one too deep": lambda c, beta=1.0: c / (1 + beta * (gamma(c) + 1) / np.sqrt(c.sum())),
        "of the background": lambda cell, beta=1.0: field(~cell, beta),
    },
    "01.4": {
        "drawn in turn": in_turn,
        "tiny cells forgotten": lambda labels: mended(labels, empty=False),
        "depth of the foreground": lambda labels: mended(labels, region=lambda labels: labels > 0),
        "always one layer": lambda labels: mended(labels, always=1.0),
        "always two pixels": lambda labels: mended(labels, always=2.0),
        "a boundary along the image's edge": lambda labels: mended(labels, edge=1),
        "no least thickness": lambda labels: mended(labels, least=0.0),
        "boundary outside": spilling,
        "no boundary": lambda labels: labels > 0,
        "no interior": lambda labels: 2 * (labels > 0),
        "classes swapped": lambda labels: np.array([0, 2, 1])[mended(labels)],
        "last cell forgotten": lambda labels: mended(np.where(labels == labels.max(), 0, labels)),
        "ids up to 255": lambda labels: mended(labels.astype(np.uint8).astype(int) * (labels != 256) % 244),
        "labels returned": lambda labels: labels,
    },
}
