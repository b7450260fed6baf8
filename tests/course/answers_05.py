"""Answers to the exercises of notebook 05: right ones in many styles, and plausible wrong ones."""

import itertools

import cv2
import numpy as np
import pandas as pd
import torch
from scipy import ndimage
from skimage.filters import apply_hysteresis_threshold
from skimage.measure import label, regionprops
from skimage.morphology import reconstruction

EIGHT = np.ones((3, 3))


# --- 05.1
def masks(p):
    return p[0] < 0.3, p[1] > 0.7


def pixels(p):
    shape = p.shape[1:]
    foreground, interior = np.zeros(shape, int), np.zeros(shape, int)
    for place in np.ndindex(*shape):
        foreground[place] = p[(0, *place)] < 0.3
        interior[place] = p[(1, *place)] > 0.7
    return foreground, interior


# --- 05.2
def pieces(p, low, structure=EIGHT):
    return ndimage.label(p > low, structure)[0]


def sure(p, low, high, structure=EIGHT):
    numbered = pieces(p, low, structure)
    return np.isin(numbered, np.unique(numbered[p > high]))


def by_loop(p, low, high):
    numbered = pieces(p, low)
    return np.isin(numbered, [k for k in range(1, numbered.max() + 1) if p[numbered == k].max() > high])


def by_growth(p, low, high):
    mask = p > high
    while True:
        grown = ndimage.binary_dilation(mask, EIGHT) & (p > low)
        if (grown == mask).all():
            return mask
        mask = grown


def by_table(p, low, high):
    numbered = pieces(p, low)
    keep = np.zeros(numbered.max() + 1, bool)
    keep[numbered[p > high]] = True
    return keep[numbered]


def by_regions(p, low, high):
    mask = np.zeros(p.shape, bool)
    for region in regionprops(label(p > low, connectivity=2), p):
        if region.intensity_max > high:
            mask[tuple(region.coords.T)] = True
    return mask


def by_opencv(p, low, high):
    _, numbered = cv2.connectedComponents((p > low).astype(np.uint8), connectivity=8)
    return np.isin(numbered, np.setdiff1d(numbered[p > high], [0]))


def by_stack(p, low, high):
    todo, found = [tuple(place) for place in np.argwhere(p > high)], set()
    while todo:
        y, x = todo.pop()
        if (y, x) in found or not (0 <= y < p.shape[0] and 0 <= x < p.shape[1] and p[y, x] > low):
            continue
        found.add((y, x))
        todo += [(y + i, x + j) for i, j in itertools.product((-1, 0, 1), repeat=2)]
    return [[(y, x) in found for x in range(p.shape[1])] for y in range(p.shape[0])]


def large_pieces(p, low, high):
    numbered = pieces(p, low)
    return np.isin(numbered, [k for k in range(1, numbered.max() + 1) if (numbered == k).sum() > 1])


def mean_above(p, low, high):
    numbered = pieces(p, low)
    return np.isin(numbered, [k for k in range(1, numbered.max() + 1) if p[numbered == k].mean() > high])


# --- 05.4
def look_up(labels, n):
    return np.where(np.bincount(labels.ravel())[labels] < n, 0, labels)


def by_unique(labels, n):
    _, where, areas = np.unique(labels, return_inverse=True, return_counts=True)
    return np.where(areas[where].reshape(labels.shape) < n, 0, labels)


def copied(labels, n):
    kept = labels.copy()
    kept[np.bincount(labels.ravel())[labels] < n] = 0
    return kept


def by_ids(labels, n):
    ids, areas = np.unique(labels, return_counts=True)
    return np.where(np.isin(labels, ids[areas < n]), 0, labels)


def by_table_of_ids(labels, n):
    table = np.arange(labels.max() + 1)
    table[np.bincount(labels.ravel()) < n] = 0
    return table[labels]


def by_pandas(labels, n):
    flat = pd.Series(labels.ravel())
    areas = flat.map(flat.value_counts())
    return flat.where(areas >= n, 0).to_numpy().reshape(labels.shape)


def by_transform(labels, n):
    flat = pd.Series(labels.ravel())
    return flat.mask(flat.groupby(flat).transform("size") < n, 0).to_numpy().reshape(labels.shape)


def by_torch(labels, n):
    labels = torch.from_numpy(labels)
    return labels * (torch.bincount(labels.ravel()) >= n)[labels]


def by_sum(labels, n):
    areas = ndimage.sum_labels(np.ones_like(labels), labels, np.arange(labels.max() + 1))
    return np.where(areas[labels] < n, 0, labels)


def in_place(labels, n):
    labels[np.bincount(labels.ravel())[labels] < n] = 0
    return labels


def by_masks(labels, n):
    kept = labels.copy()
    for k in np.unique(labels):
        if (labels == k).sum() < n:
            kept[labels == k] = 0
    return kept


def by_while(labels, n):
    kept, k = labels.copy(), 1
    while k <= labels.max():
        kept[labels == k] *= (labels == k).sum() >= n
        k += 1
    return kept


def by_objects(labels, n):
    boxes = enumerate(ndimage.find_objects(labels), 1)
    small = {k for k, box in boxes if box is not None and (labels[box] == k).sum() < n}
    return np.where(np.isin(labels, list(small)), 0, labels)


def by_list(labels, n):
    small = [k for k, area in enumerate(np.bincount(labels.ravel())) if area < n]
    return np.where(np.isin(labels, small), 0, labels)


def by_vectorize(labels, n):
    areas = np.bincount(labels.ravel())
    return np.vectorize(lambda k: k if areas[k] >= n else 0)(labels)


RIGHT = {
    "05.1": {
        "two comparisons": masks,
        "list": lambda p: [p[0] < 0.3, p[1] > 0.7],
        "stack": lambda p: np.stack(masks(p)),
        "array": lambda p: np.array([p[0] < 0.3, p[1] > 0.7], int),
        "torch": lambda p: (torch.tensor(p[0]) < 0.3, torch.tensor(p[1]) > 0.7),
        "stacked tensor": lambda p: torch.stack([torch.tensor(p[0]) < 0.3, torch.tensor(p[1]) > 0.7]),
        "pixels": pixels,
        "where": lambda p: (np.where(p[0] < 0.3, 1, 0), np.where(p[1] > 0.7, 1, 0)),
        "255 no, floats": lambda p: tuple(m.astype(float) for m in masks(p)),
        "tables": lambda p: tuple(pd.DataFrame(m) for m in masks(p)),
        "not": lambda p: (~(p[0] >= 0.3), np.logical_not(p[1] <= 0.7)),
        "unpacked": lambda p: (lambda b, i, *others: (b < 0.3, i > 0.7))(*p),
        "others' probability": lambda p: (1 - p[0] > 0.7, p[1] > 0.7),
        "iterator": lambda p: (m for m in masks(p)),
        "nested lists": lambda p: [m.tolist() for m in masks(p)],
    },
    "05.2": {
        "look-up": sure,
        "loop over pieces": by_loop,
        "growth": by_growth,
        "table": by_table,
        "regions": by_regions,
        "opencv": by_opencv,
        "stack of pixels": by_stack,
        "propagation": lambda p, low, high: ndimage.binary_propagation(p > high, EIGHT, p > low),
        "binary dilation": lambda p, low, h: ndimage.binary_dilation(
            p > h, EIGHT, iterations=-1, mask=p > low
        ),
        "reconstruction": lambda p, low, h: (
            reconstruction((p > h).astype(float), (p > low).astype(float)) > 0
        ),
        "largest per piece": lambda p, low, h: (
            np.r_[0, np.atleast_1d(ndimage.maximum(p, pieces(p, low), range(1, pieces(p, low).max() + 1)))]
            > h
        )[pieces(p, low)],
        "hysteresis, its corners mended": lambda p, low, h: by_growth(
            np.where(apply_hysteresis_threshold(p, low, h), 1.0, p), low, h
        ),
        "integers": lambda p, low, high: sure(p, low, high).astype(int),
    },
    "05.3": {
        "ridge to 1": [1, 1, 1, 1] + 6 * [2],
        "ridge to 2": [1, 1, 1] + 7 * [2],
        "array": np.array([1, 1, 1, 1, 2, 2, 2, 2, 2, 2]),
        "tuple": (1, 1, 1, 2, 2, 2, 2, 2, 2, 2),
        "floats": [1.0] * 4 + [2.0] * 6,
        "repeat": np.repeat([1, 2], [4, 6]),
        "where": np.where(np.arange(10) < 3, 1, 2),
        "torch": torch.tensor([1] * 3 + [2] * 7),
        "series": pd.Series([1] * 4 + [2] * 6),
        "small integers": np.array([1] * 4 + [2] * 6, np.uint8),
        "comprehension": [1 if k <= 3 else 2 for k in range(10)],
    },
    "05.4": {
        "look-up table": look_up,
        "keep and multiply": lambda labels, n: labels * (np.bincount(labels.ravel()) >= n)[labels],
        "unique and its inverse": by_unique,
        "copied": copied,
        "ids": by_ids,
        "table of ids": by_table_of_ids,
        "value counts": by_pandas,
        "group by": by_transform,
        "torch": by_torch,
        "scipy": by_sum,
        "take": lambda labels, n: np.take(np.bincount(labels.ravel()) >= n, labels) * labels,
        "choose": lambda labels, n: np.select([np.bincount(labels.ravel())[labels] >= n], [labels]),
        "list": lambda labels, n: look_up(labels, n).tolist(),
    },
}
WRONG = {
    "05.1": {
        "interior plus boundary": lambda p: (p[1] + p[2] > 0.7, p[1] > 0.7),
        "most probable class": lambda p: (p.argmax(0) > 0, p.argmax(0) == 1),
        "wrong way round": lambda p: masks(p)[::-1],
        "background above the threshold": lambda p: (p[0] > 0.3, p[1] > 0.7),
        "one mask": lambda p: p[1] > 0.7,
        "same threshold": lambda p: (p[0] < 0.7, p[1] > 0.7),
        "interior above 0.3": lambda p: (p[0] < 0.3, p[1] > 0.3),
        "boundary in place of interior": lambda p: (p[0] < 0.3, p[2] > 0.7),
        "three masks": lambda p: (*masks(p), p[2] > 0.7),
        "the probabilities": lambda p: (p[0], p[1]),
        "last axis": lambda p: (p[..., 0] < 0.3, p[..., 1] > 0.7),
        "interior below": lambda p: (p[0] < 0.3, p[1] < 0.7),
        "all but background": lambda p: (p[1:].max(0) > 0.3, p[1] > 0.7),
        "joined": lambda p: masks(p)[0] & masks(p)[1],
        "nothing": lambda p: None,
    },
    "05.2": {
        "only the sure pixels": lambda p, low, high: p > high,
        "only the low threshold": lambda p, low, high: p > low,
        "sides, not corners": lambda p, low, high: sure(p, low, high, None),
        "skimage's hysteresis": lambda p, low, high: apply_hysteresis_threshold(p, low, high),
        "sure pixels and their neighbours": lambda p, low, h: (
            (p > low) & ndimage.binary_dilation(p > h, EIGHT)
        ),
        "mean of nine pixels": lambda p, low, h: sure(ndimage.uniform_filter(p, 3, mode="constant"), low, h),
        "mean of the piece": mean_above,
        "large pieces": large_pieces,
        "fixed thresholds": lambda p, low, high: sure(p, 0.7, 0.9),
        "thresholds swapped": lambda p, low, high: sure(p, high, low),
        "background too": lambda p, low, high: sure(p, low, high) | (p <= low),
        "numbers": lambda p, low, high: pieces(p, low) * sure(p, low, high),
        "unsure pieces": lambda p, low, high: (p > low) & ~sure(p, low, high),
        "grown into the dark": lambda p, low, h: ndimage.binary_dilation(p > h, EIGHT, iterations=2),
        "first piece": lambda p, low, high: pieces(p, low) == 1,
    },
    "05.3": {
        "nearest spring": [1, 1, 1, 1, 1, 2, 2, 2, 2, 2],
        "ridge left dry": [1, 1, 1, 0, 2, 2, 2, 2, 2, 2],
        "springs only": [0, 1, 0, 0, 0, 0, 0, 0, 2, 0],
        "too short": [1, 1, 1, 2, 2, 2],
        "too long": [1] * 4 + [2] * 7,
        "other way round": [2] * 4 + [1] * 6,
        "first goes to 2": [2, 1, 1, 1, 2, 2, 2, 2, 2, 2],
        "last left dry": [1, 1, 1, 1, 2, 2, 2, 2, 2, 0],
        "one owner": [1] * 10,
        "heights": [2, 0, 3, 7, 4, 3, 2, 1, 0, 5],
        "ridge to a third": [1, 1, 1, 3, 2, 2, 2, 2, 2, 2],
        "one number": 2,
        "counted from one": [1, 1, 2, 2, 2, 2, 2, 2, 2, 2],
        "words": "1112222222",
    },
    "05.4": {
        "too many removed": lambda labels, n: look_up(labels, n + 1),
        "too few removed": lambda labels, n: look_up(labels, n - 1),
        "input changed": in_place,
        "renumbered": lambda labels, n: np.unique(look_up(labels, n), return_inverse=True)[1].reshape(
            labels.shape
        ),
        "large ones removed": lambda labels, n: labels - look_up(labels, n),
        "mask returned": lambda labels, n: look_up(labels, n) > 0,
        "loop over masks": by_masks,
        "loop over areas": by_list,
        "loop with while": by_while,
        "loop over bounding boxes": by_objects,
        "loop in disguise": by_vectorize,
        "small ids removed": lambda labels, n: np.where(labels < n, 0, labels),
        "areas": lambda labels, n: np.bincount(labels.ravel())[labels],
        "pieces in place of cells": lambda labels, n: look_up(label(labels > 0), n),
        "fixed area": lambda labels, n: look_up(labels, 3),
    },
}
