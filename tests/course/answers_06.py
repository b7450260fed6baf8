"""Answers to the exercises of notebook 06: right ones in many styles, and plausible wrong ones."""

import math

import numpy as np
import pandas as pd
import torch
from scipy import ndimage, stats
from skimage.metrics import contingency_table
from skimage.segmentation import clear_border


# --- 06.1
def ids(labels):
    return np.unique(labels[labels > 0])


def pairs(score):
    def matrix(truth, prediction):
        rows = [[score(truth == t, prediction == p) for p in ids(prediction)] for t in ids(truth)]
        return np.array(rows, dtype=float)

    return matrix


def iou(t, p):
    return (t & p).sum() / (t | p).sum()


def counting(truth, prediction):
    (rows, i), (columns, j) = (np.unique(labels, return_inverse=True) for labels in (truth, prediction))
    shared = np.zeros((len(rows), len(columns)))
    np.add.at(shared, (i.ravel(), j.ravel()), 1)
    union = shared.sum(axis=1, keepdims=True) + shared.sum(axis=0, keepdims=True) - shared
    return (shared / union)[rows > 0][:, columns > 0]


def crosstab(truth, prediction):
    table = pd.crosstab(truth.ravel(), prediction.ravel())
    union = -table.sub(table.sum(axis=1), axis=0).sub(table.sum(axis=0), axis=1)
    return (table / union).drop(index=0, columns=0, errors="ignore")


def one_hot(truth, prediction):
    t = (truth.ravel() == ids(truth)[:, None]).astype(float)
    p = (prediction.ravel() == ids(prediction)[:, None]).astype(float)
    shared = t @ p.T
    return shared / (t.sum(1)[:, None] + p.sum(1) - shared)


def contingency(truth, prediction):
    table = contingency_table(truth, prediction).toarray()
    union = table.sum(1, keepdims=True) + table.sum(0, keepdims=True) - table
    return (table / np.maximum(union, 1))[np.ix_(ids(truth), ids(prediction))]


def histogram(truth, prediction):
    rows, columns = ids(truth), ids(prediction)
    matrix = []
    for t in rows:
        shared = np.bincount(prediction[truth == t], minlength=prediction.max() + 1)[columns]
        areas = np.bincount(prediction.ravel())[columns]
        matrix.append(shared / ((truth == t).sum() + areas - shared))
    return matrix


def by_sets(truth, prediction):
    def cells(labels):
        return [set(np.flatnonzero(labels == k).tolist()) for k in ids(labels)]

    return [[len(t & p) / len(t | p) for p in cells(prediction)] for t in cells(truth)]


def up_to_max(truth, prediction):
    matrix = np.zeros((truth.max(), prediction.max()))
    for t in range(1, truth.max() + 1):
        for p in range(1, prediction.max() + 1):
            matrix[t - 1, p - 1] = ((truth == t) & (prediction == p)).sum() / max(
                ((truth == t) | (prediction == p)).sum(), 1
            )
    return matrix


def all_ids_but_the_first(truth, prediction):
    rows, columns = np.unique(truth)[1:], np.unique(prediction)[1:]
    return np.array([[iou(truth == t, prediction == p) for p in columns] for t in rows])


# --- 06.2
def framed(labels, width):
    frame = np.ones(labels.shape, bool)
    frame[width:-width, width:-width] = False
    return frame


def drop(labels, width):
    return np.where(np.isin(labels, labels[framed(labels, width)]), 0, labels)


def without(sides):
    """Remove the cells that have a pixel on the given sides of an image."""

    def answer(labels, width):
        touching = np.concatenate([side.ravel() for side in sides(labels, width)])
        return np.where(np.isin(labels, touching), 0, labels)

    return answer


def all_sides(labels, w):
    return labels[:w], labels[-w:], labels[:, :w], labels[:, -w:]


def copied(labels, width):
    kept = labels.copy()
    for k in np.unique(labels[framed(labels, width)]):
        kept[kept == k] = 0
    return kept


def by_boxes(labels, width):
    kept, (height, length) = labels.copy(), labels.shape
    for k, box in enumerate(ndimage.find_objects(labels), 1):
        if box is not None:
            rows, columns = box
            inside = rows.start >= width and columns.start >= width
            if not (inside and rows.stop <= height - width and columns.stop <= length - width):
                kept[labels == k] = 0
    return kept


def by_table(labels, width):
    keep = np.ones(labels.max() + 1, int)
    keep[labels[framed(labels, width)]] = 0
    return keep[labels] * labels


def by_indices(labels, width):
    rows, columns = np.indices(labels.shape)
    distance = np.minimum.reduce([rows, columns, labels.shape[0] - 1 - rows, labels.shape[1] - 1 - columns])
    return labels * ~np.isin(labels, labels[distance < width])


def by_torch(labels, width):
    labels = torch.from_numpy(labels)
    return torch.where(torch.isin(labels, labels[torch.from_numpy(framed(labels, width))]), 0, labels)


def by_pixels(labels, width):
    touching = {int(labels[tuple(place)]) for place in np.argwhere(framed(labels, width))}
    return [[0 if k in touching else k for k in row] for row in labels.tolist()]


def erased(labels, width):
    return np.where(framed(labels, width), 0, labels)


def in_place(labels, width):
    labels[np.isin(labels, labels[framed(labels, width)])] = 0
    return labels


# --- 06.3
def f1(counts):
    tp, fp, fn = np.asarray(counts, dtype=float).T
    total = 2 * tp + fp + fn
    return np.where(total > 0, 2 * tp / np.maximum(total, 1), 1.0)


def three(counts):
    pooled = f1(np.sum(counts, axis=0, keepdims=True))[0]
    return f1(counts).mean(), np.median(f1(counts)), pooled


def rows(counts):
    def score(tp, fp, fn):
        return 2 * tp / (2 * tp + fp + fn) if tp + fp + fn else 1

    scores = sorted(score(*row) for row in counts.tolist())
    n = len(scores)
    median = scores[n // 2] if n % 2 else (scores[n // 2 - 1] + scores[n // 2]) / 2
    return [sum(scores) / n, median, score(*map(sum, zip(*counts.tolist(), strict=True)))]


def tabled(counts):
    table = pd.DataFrame(counts, columns=["tp", "fp", "fn"])
    scores = (2 * table.tp / (2 * table.tp + table.fp + table.fn)).fillna(1)
    tp, fp, fn = table.sum()
    return pd.Series(
        {"mean": scores.mean(), "median": scores.median(), "pooled": 2 * tp / (2 * tp + fp + fn)}
    )


def precision_recall(counts):
    scores = []
    for tp, fp, fn in [*counts, counts.sum(axis=0)]:
        if tp + fp + fn == 0:
            scores.append(1.0)
        elif tp == 0:
            scores.append(0.0)
        else:
            precision, recall = tp / (tp + fp), tp / (tp + fn)
            scores.append(2 * precision * recall / (precision + recall))
    return np.mean(scores[:-1]), np.median(scores[:-1]), scores[-1]


def divided(counts):
    tp, fp, fn = counts.T
    scores = np.divide(2 * tp, 2 * tp + fp + fn, out=np.ones(len(tp)), where=counts.any(axis=1))
    return scores.mean(), np.percentile(scores, 50), 2 * tp.sum() / (2 * tp.sum() + fp.sum() + fn.sum())


def empty_is(value):
    def averages(counts):
        scores = np.where(counts.sum(axis=1) == 0, value, f1(counts))
        return np.nanmean(scores), np.nanmedian(scores), three(counts)[2]

    return averages


# --- 06.4
def ends(means, low=2.5, high=97.5):
    return tuple(np.percentile(means, [low, high]))


def resampled(scores, rng, repeats=2000, size=None, statistic=np.mean):
    return statistic(rng.choice(scores, (repeats, size or len(scores))), axis=1)


def one_by_one(scores, rng, repeats=2000):
    means = sorted(np.mean(rng.choice(scores, len(scores))) for _ in range(repeats))
    return [float(means[int(0.025 * repeats)]), float(means[int(0.975 * repeats)])]


def by_index(scores, rng, repeats=2000):
    picked = rng.integers(0, len(scores), (repeats, len(scores)))
    return np.quantile(scores[picked].mean(axis=1), [0.025, 0.975])


def by_multinomial(scores, rng, repeats=2000):
    counts = rng.multinomial(len(scores), np.full(len(scores), 1 / len(scores)), repeats)
    return ends(counts @ scores / len(scores))


def by_scipy(scores, rng, repeats=2000):
    result = stats.bootstrap((scores,), np.mean, n_resamples=repeats, method="percentile", rng=rng)
    return result.confidence_interval


def by_pandas(scores, rng, repeats=2000):
    means = pd.DataFrame(rng.choice(scores, (len(scores), repeats))).mean()
    return means.quantile([0.025, 0.975])


def by_python(scores, rng, repeats=2000):
    values = scores.tolist()
    draws = rng.random((2000, len(values)))
    means = sorted(sum(values[int(u * len(values))] for u in row) / len(values) for row in draws.tolist())
    return means[50], means[1949]


def normal(scores, width=1.96, n=None):
    error = np.std(scores) / math.sqrt(n or len(scores))
    return np.mean(scores) - width * error, np.mean(scores) + width * error


def clipped(scores, rng, repeats=2000):
    low, high = normal(scores)
    return max(low, 0.0), min(high, 1.0)


# --- 06.5
def solved(gain, sd):
    return max(2, math.ceil(round(8 * (sd / gain) ** 2, 9)))


def tried(gain, sd):
    n = 2
    while gain < 2 * sd * math.sqrt(2 / n) * (1 - 1e-12):
        n += 1
    return n


def listed(gain, sd):
    return next(n for n in range(2, 10_000) if gain * n**0.5 >= 2 * sd * 2**0.5 - 1e-12)


def by_array(gain, sd):
    n = np.arange(2, 1000)
    return n[gain + 1e-12 >= 2 * np.sqrt(sd**2 / n + sd**2 / n)][0]


def rounded_up(value):
    return lambda gain, sd: max(2, math.ceil(round(value(sd / gain), 9)))


RIGHT = {
    "06.1": {
        "loops": pairs(iou),
        "counting": counting,
        "crosstab": crosstab,
        "one-hot": one_hot,
        "contingency": contingency,
        "bincount": histogram,
        "sets": by_sets,
        "logical": pairs(lambda t, p: np.logical_and(t, p).sum() / np.logical_or(t, p).sum()),
        "areas": pairs(lambda t, p: (t & p).sum() / (t.sum() + p.sum() - (t & p).sum())),
        "product": pairs(lambda t, p: (t * p).sum() / np.maximum(t, p).sum()),
        "from Dice": pairs(lambda t, p: (lambda d: d / (2 - d))(2 * (t & p).sum() / (t.sum() + p.sum()))),
        "torch": lambda truth, prediction: torch.tensor(counting(truth, prediction)),
        "lists": lambda truth, prediction: pairs(iou)(truth, prediction).tolist(),
    },
    "06.2": {
        "frame as a mask": drop,
        "four sides": without(all_sides),
        "copied": copied,
        "boxes": by_boxes,
        "look-up table": by_table,
        "distance from the edge": by_indices,
        "torch": by_torch,
        "pixel by pixel": by_pixels,
        "skimage": lambda labels, width: clear_border(labels, buffer_size=width - 1),
        "multiplied": lambda labels, width: labels * ~np.isin(labels, labels[framed(labels, width)]),
        "padded": lambda k, w: (
            k
            * ~np.isin(
                k, k[np.pad(np.zeros((k.shape[0] - 2 * w, k.shape[1] - 2 * w)), w, constant_values=1) > 0]
            )
        ),
        "table": lambda labels, width: pd.DataFrame(drop(labels, width)),
        "mask": lambda k, w: pd.DataFrame(k).mask(np.isin(k, k[framed(k, w)]), 0),
    },
    "06.3": {
        "vectorised": three,
        "rows": rows,
        "pandas": tabled,
        "precision and recall": precision_recall,
        "divide": divided,
        "list": lambda counts: list(three(counts)),
        "array": lambda counts: np.array(three(counts)),
        "torch": lambda counts: torch.tensor(three(counts)),
        "nan to one": lambda counts: empty_is(1.0)(counts),
        "python floats": lambda counts: tuple(map(float, three(counts))),
        "iterator": lambda counts: iter(three(counts)),
    },
    "06.4": {
        "resampled means": lambda scores, rng, repeats=2000: ends(resampled(scores, rng, repeats)),
        "one by one": one_by_one,
        "indices": by_index,
        "multinomial": by_multinomial,
        "scipy": by_scipy,
        "pandas": by_pandas,
        "python": by_python,
        "sorted": lambda s, rng, n=2000: (lambda m: (m[int(0.025 * n)], m[int(0.975 * n) - 1]))(
            np.sort(resampled(s, rng, n))
        ),
        "array": lambda scores, rng, n=2000: np.array(ends(resampled(scores, rng, n))),
        "torch": lambda s, rng, n=2000: torch.quantile(
            torch.tensor(resampled(s, rng, n)), torch.tensor([0.025, 0.975], dtype=torch.float64)
        ),
        "sums": lambda s, rng, n=2000: ends(rng.choice(s, (n, len(s))).sum(axis=1) / len(s)),
        "own generator": lambda s, rng, n=2000: ends(resampled(s, np.random.default_rng(5), n)),
    },
    "06.5": {
        "solved": solved,
        "tried": tried,
        "listed": listed,
        "array": by_array,
        "float": lambda gain, sd: float(solved(gain, sd)),
        "not rounded first": lambda gain, sd: max(2, math.ceil((2 * 2**0.5 * sd / gain) ** 2)),
        "tried without tolerance": lambda gain, sd: next(
            n for n in range(2, 999) if gain / (sd * np.sqrt(2 / n)) >= 2
        ),
        "numpy": lambda gain, sd: np.maximum(2, np.ceil(np.round(8 * (sd / gain) ** 2, 6))),
        "negative floor": lambda gain, sd: max(2, -int(-round(8 * sd**2 / gain**2, 6) // 1)),
        "from the error": rounded_up(lambda ratio: (2 * math.sqrt(2) * ratio) ** 2),
        "variance": lambda gain, sd: max(math.ceil(2 * sd**2 / (gain / 2) ** 2 - 1e-9), 2),
        "one element": lambda gain, sd: [solved(gain, sd)],
        "torch": lambda gain, sd: torch.tensor(solved(gain, sd)),
        "if": lambda gain, sd: solved(gain, sd) if 8 * (sd / gain) ** 2 > 2 else 2,
    },
}
WRONG = {
    "06.1": {
        "background as a cell": lambda truth, prediction: pairs(iou)(truth + 1, prediction + 1),
        "Dice": pairs(lambda t, p: 2 * (t & p).sum() / (t.sum() + p.sum())),
        "share of the true cell": pairs(lambda t, p: (t & p).sum() / t.sum()),
        "share of the prediction": pairs(lambda t, p: (t & p).sum() / p.sum()),
        "shared pixels": pairs(lambda t, p: (t & p).sum()),
        "over the image": pairs(lambda t, p: (t & p).mean()),
        "union counted double": pairs(lambda t, p: (t & p).sum() / (t.sum() + p.sum())),
        "transposed": lambda truth, prediction: pairs(iou)(truth, prediction).T,
        "ids without gaps taken for granted": up_to_max,
        "first id taken for background": all_ids_but_the_first,
        "matched only": lambda truth, prediction: pairs(iou)(truth, prediction) > 0.5,
        "best per cell": lambda truth, prediction: pairs(iou)(truth, prediction).max(axis=1),
        "descending": lambda truth, prediction: pairs(iou)(truth, prediction)[::-1],
        "upside down": pairs(lambda t, p: (t | p).sum() / max((t & p).sum(), 1)),
        "of the masks": lambda truth, prediction: iou(truth > 0, prediction > 0),
        "smaller cell": pairs(lambda t, p: (t & p).sum() / min(t.sum(), p.sum())),
    },
    "06.2": {
        "frame erased": erased,
        "outermost pixels only": lambda labels, width: drop(labels, 1),
        "top and bottom only": without(lambda k, w: (k[:w], k[-w:])),
        "left and right only": without(lambda k, w: (k[:, :w], k[:, -w:])),
        "top and left only": without(lambda k, w: (k[:w], k[:, :w])),
        "bottom forgotten": without(lambda k, w: (k[:w], k[:, :w], k[:, -w:])),
        "right forgotten": without(lambda k, w: (k[:w], k[-w:], k[:, :w])),
        "one pixel too wide": lambda labels, width: drop(labels, width + 1),
        "line at that distance": without(lambda k, w: (k[w - 1], k[-w], k[:, w - 1], k[:, -w])),
        "image cropped": lambda labels, width: drop(labels, width)[width:-width, width:-width],
        "input changed": in_place,
        "renumbered": lambda k, w: np.unique(drop(k, w), return_inverse=True)[1].reshape(k.shape),
        "mask": lambda labels, width: drop(labels, width) > 0,
        "border cells": lambda labels, width: labels - drop(labels, width),
        "cell at the frame's inside": lambda k, w: drop(k, max(w - 1, 1)),
        "nothing removed": lambda labels, width: labels.copy(),
    },
    "06.3": {
        "empty image scores 0": empty_is(0.0),
        "empty image left out": empty_is(float("nan")),
        "pooled is the mean": lambda counts: (*three(counts)[:2], f1(counts).mean()),
        "AP instead of F1": lambda counts: tuple(x / (2 - x) for x in three(counts)),
        "wrong order": lambda counts: three(counts)[::-1],
        "mean and median swapped": lambda c: (three(c)[1], three(c)[0], three(c)[2]),
        "two numbers": lambda counts: three(counts)[:2],
        "precision": lambda c: (*three(c)[:2], c[:, 0].sum() / c[:, :2].sum()),
        "recall": lambda c: (*three(c)[:2], c[:, 0].sum() / (c[:, 0].sum() + c[:, 2].sum())),
        "weighted by cells": lambda c: (np.average(f1(c), weights=c.sum(1)), *three(c)[1:]),
        "upper median": lambda c: (three(c)[0], np.sort(f1(c))[len(c) // 2], three(c)[2]),
        "columns mixed up": lambda counts: three(counts[:, ::-1]),
        "tp counted once": lambda c: tuple(v for v in (*three(c)[:2], c[:, 0].sum() / c.sum())),
        "all in one": lambda counts: three(counts)[2],
        "the scores": f1,
    },
    "06.4": {
        "without replacement": lambda s, rng, n=2000: ends([rng.permutation(s).mean() for _ in range(200)]),
        "spread of the scores": lambda s, rng, n=2000: ends(rng.choice(s, (n, len(s)))),
        "standard deviation instead of error": lambda s, rng, n=2000: normal(s, n=1),
        "the middle 90 %": lambda s, rng, n=2000: ends(resampled(s, rng, n), 5, 95),
        "the middle 99 %": lambda s, rng, n=2000: ends(resampled(s, rng, n), 0.5, 99.5),
        "bell curve": lambda s, rng, n=2000: normal(s),
        "bell curve, cut off at 0": clipped,
        "one standard error": lambda s, rng, n=2000: normal(s, 1.0),
        "one number": lambda scores, rng, n=2000: float(np.mean(scores)),
        "smallest and largest": lambda s, rng, n=2000: (
            resampled(s, rng, n).min(),
            resampled(s, rng, n).max(),
        ),
        "half of the images": lambda s, rng, n=2000: ends(resampled(s, rng, n, len(s) // 2)),
        "percentiles as shares": lambda s, rng, n=2000: ends(resampled(s, rng, n), 0.025, 0.975),
        "medians": lambda s, rng, n=2000: ends(resampled(s, rng, n, statistic=np.median)),
        "upper end first": lambda s, rng, n=2000: ends(resampled(s, rng, n))[::-1],
        "all means": lambda s, rng, n=2000: resampled(s, rng, n),
        "one resample": lambda s, rng, n=2000: ends(rng.choice(s, len(s))),
    },
    "06.5": {
        "only one method varies": rounded_up(lambda ratio: 4 * ratio**2),
        "one standard error": rounded_up(lambda ratio: 2 * ratio**2),
        "one is enough": lambda gain, sd: max(1, math.ceil(round(8 * (sd / gain) ** 2, 9))),
        "rounded down": lambda gain, sd: max(2, int(8 * (sd / gain) ** 2)),
        "rounded to the nearest": lambda gain, sd: max(2, round(8 * (sd / gain) ** 2)),
        "root forgotten": rounded_up(lambda ratio: 2 * math.sqrt(2) * ratio),
        "upside down": rounded_up(lambda ratio: 8 / ratio**2),
        "always one more": lambda gain, sd: max(2, int(8 * (sd / gain) ** 2) + 1),
        "both methods together": lambda gain, sd: 2 * solved(gain, sd),
        "not rounded": lambda gain, sd: max(2, 8 * (sd / gain) ** 2),
        "1.96": lambda gain, sd: max(2, math.ceil(2 * (1.96 * sd / gain) ** 2)),
        "errors added": rounded_up(lambda ratio: 16 * ratio**2),
        "without a square": rounded_up(lambda ratio: 8 * ratio),
        "always five": lambda gain, sd: 5,
    },
}
