"""Answers to the exercises of notebook 03: right ones in many styles, and plausible wrong ones."""

import numpy as np
import pandas as pd
import torch
from numpy.linalg import norm
from scipy import ndimage
from sklearn.metrics import calinski_harabasz_score


# --- 03.1
def loop(features, mask):
    sums, count = np.zeros(len(features)), 0
    for y, x in np.argwhere(mask):
        sums += features[:, y, x]
        count += 1
    return sums / count


def every_pixel(features, mask):
    means = []
    for channel in features.tolist():
        inside = [
            v for row, flags in zip(channel, mask, strict=True) for v, f in zip(row, flags, strict=True) if f
        ]
        means.append(sum(inside) / len(inside))
    return means


def by_torch(features, mask):
    return torch.from_numpy(features)[:, torch.from_numpy(mask)].mean(dim=1)


def of_positive(features, mask):
    values = features[:, mask]
    return values.sum(axis=1) / np.maximum((values != 0).sum(axis=1), 1)


# --- 03.2
def margin(f, w, b):
    return ((w[1] - w[0]) @ f + b[1] - b[0]) / norm(w[1] - w[0])


def from_logits(feature, weights, bias):
    logits = weights @ feature + bias
    return (logits[1] - logits[0]) / norm(weights[1] - weights[0])


def coordinate_by_coordinate(feature, weights, bias):
    total, square = bias[1] - bias[0], 0.0
    for x, low, high in zip(feature, weights[0], weights[1], strict=True):
        total += (high - low) * x
        square += (high - low) ** 2
    return total / square**0.5


def by_foot(feature, weights, bias):
    normal = weights[1] - weights[0]
    foot = feature - (normal @ feature + bias[1] - bias[0]) / (normal @ normal) * normal
    return np.sign(normal @ (feature - foot)) * norm(feature - foot)


def with_torch(f, w, b):
    f, w, b = map(torch.as_tensor, (f, w, b))
    return (torch.diff(w[:2], dim=0) @ f + b[1] - b[0]) / torch.linalg.norm(w[1] - w[0])


# --- 03.3
def parts(vectors, classes):
    return [vectors[classes == name] for name in np.unique(classes)]


def within(v, c):
    return sum(((rows - rows.mean(0)) ** 2).sum() for rows in parts(v, c))


def between(v, c):
    return sum(len(rows) * ((rows.mean(0) - v.mean(0)) ** 2).sum() for rows in parts(v, c))


def total(v):
    return ((v - v.mean(0)) ** 2).sum()


def row_by_row(vectors, classes):
    inner = outer = 0.0
    overall = sum(vectors) / len(vectors)
    for row, name in zip(vectors, classes, strict=True):
        mean = np.mean([r for r, n in zip(vectors, classes, strict=True) if n == name], axis=0)
        inner += sum((row - mean) ** 2)
        outer += sum((mean - overall) ** 2)
    return outer / inner


def by_pandas(vectors, classes):
    table = pd.DataFrame(vectors)
    means = table.groupby(classes).transform("mean")
    return ((means - table.mean()) ** 2).sum().sum() / ((table - means) ** 2).sum().sum()


def by_matrices(v, c):
    inner = sum((rows - rows.mean(0)).T @ (rows - rows.mean(0)) for rows in parts(v, c))
    return np.trace((v - v.mean(0)).T @ (v - v.mean(0)) - inner) / np.trace(inner)


def by_variance(v, c):
    inner = sum(len(rows) * rows.var(axis=0).sum() for rows in parts(v, c))
    return len(v) * v.var(axis=0).sum() / inner - 1


def by_one_hot(v, c):
    flags = (c[:, None] == np.unique(c)).astype(float)  # (N, K)
    means = (flags.T @ v) / flags.sum(axis=0)[:, None]
    return ((flags @ (means - v.mean(0))) ** 2).sum() / ((v - flags @ means) ** 2).sum()


def by_index(v, c):
    k = len(set(c))
    return calinski_harabasz_score(v, c) * (k - 1) / (len(v) - k)


def first_two(v, c):
    keep = np.isin(c, np.unique(c)[:2])
    return between(v[keep], c[keep]) / within(v[keep], c[keep])


RIGHT = {
    "03.1": {
        "index": lambda features, mask: features[:, mask].mean(axis=1),
        "sum": lambda features, mask: (features * mask).sum(axis=(1, 2)) / mask.sum(),
        "loop": loop,
        "every pixel": every_pixel,
        "einsum": lambda f, m: np.einsum("dhw,hw->d", f, m) / np.count_nonzero(m),
        "tensordot": lambda f, m: np.tensordot(f, m.astype(float), 2) / m.sum(),
        "average": lambda f, m: [np.average(channel, weights=m) for channel in f],
        "where": lambda f, m: np.mean(f, axis=(1, 2), where=m),
        "nanmean": lambda f, m: np.nanmean(np.where(m, f, np.nan), axis=(1, 2)),
        "masked": lambda f, m: np.array([np.ma.masked_array(channel, ~m).mean() for channel in f]),
        "torch": by_torch,
        "scipy": lambda f, m: [ndimage.mean(channel, m, 1) for channel in f],
        "moved axis": lambda f, m: np.moveaxis(f, 0, -1)[m].mean(axis=0),
        "flat": lambda f, m: f.reshape(len(f), -1)[:, m.ravel()].mean(axis=-1),
        "series": lambda f, m: pd.DataFrame(f[:, m]).mean(axis=1),
    },
    "03.2": {
        "margin": margin,
        "from logits": from_logits,
        "coordinates": coordinate_by_coordinate,
        "foot of the perpendicular": by_foot,
        "one element": lambda f, w, b: np.array([margin(f, w, b)]),
        "torch": with_torch,
        "unit vector first": lambda f, w, b: (
            (w[1] - w[0]) / norm(w[1] - w[0]) @ f + (b[1] - b[0]) / norm(w[1] - w[0])
        ),
        "diff": lambda f, w, b: (np.diff(w[:2], axis=0) @ f + np.diff(b[:2])) / norm(np.diff(w[:2], axis=0)),
        "dot": lambda f, w, b: (
            (np.dot(w[1], f) + b[1] - np.dot(w[0], f) - b[0]) / np.sqrt(np.sum((w[1] - w[0]) ** 2))
        ),
        "python float": lambda f, w, b: float(margin(f, w, b)),
        "minus and minus": lambda f, w, b: -((w[0] - w[1]) @ f + b[0] - b[1]) / norm(w[0] - w[1]),
        "series": lambda f, w, b: pd.Series([margin(f, w, b)]),
    },
    "03.3": {
        "two sums": lambda v, c: between(v, c) / within(v, c),
        "from the total": lambda v, c: total(v) / within(v, c) - 1,
        "row by row": row_by_row,
        "pandas": by_pandas,
        "traces": by_matrices,
        "variances": by_variance,
        "one-hot": by_one_hot,
        "sklearn": by_index,
        "one element": lambda v, c: np.array([between(v, c) / within(v, c)]),
        "torch": lambda v, c: torch.tensor(between(v, c) / within(v, c)),
        "norms": lambda v, c: (
            sum(len(r) * norm(r.mean(0) - v.mean(0)) ** 2 for r in parts(v, c)) / within(v, c)
        ),
        "by python's set": lambda v, c: (total(v) - sum(total(v[c == n]) for n in set(c))) / within(v, c),
    },
}
WRONG = {
    "03.1": {
        "whole image": lambda features, mask: features.mean(axis=(1, 2)),
        "divided by all pixels": lambda features, mask: (features * mask).mean(axis=(1, 2)),
        "sum": lambda features, mask: features[:, mask].sum(axis=1),
        "over channels": lambda features, mask: features[:, mask].mean(axis=0),
        "one number": lambda features, mask: features[:, mask].mean(),
        "outside the mask": lambda features, mask: features[:, ~mask].mean(axis=1),
        "median": lambda f, m: np.median(f[:, m][:, :1], axis=1),
        "largest": lambda features, mask: features[:, mask].max(axis=1),
        "zeros left out": of_positive,
        "not averaged": lambda features, mask: features[:, mask],
        "first pixel": lambda features, mask: features[:, mask][:, 0],
        "divided by channels": lambda f, m: f[:, m].sum(axis=1) / len(f) / 2,
        "mean of rows": lambda f, m: (f * m).sum(axis=2).mean(axis=1),
        "nothing": lambda features, mask: None,
        "mask as numbers": lambda features, mask: features[:, mask.astype(int)].mean(axis=(1, 2, 3)),
    },
    "03.2": {
        "no bias": lambda f, w, b: (w[1] - w[0]) @ f / norm(w[1] - w[0]),
        "logit difference": lambda f, w, b: (w[1] - w[0]) @ f + b[1] - b[0],
        "other sign": lambda f, w, b: -margin(f, w, b),
        "unsigned": lambda f, w, b: abs(margin(f, w, b)),
        "distance to proxies": lambda f, w, b: norm(f - w[0]) - norm(f - w[1]),
        "divided by the square": lambda f, w, b: margin(f, w, b) / norm(w[1] - w[0]),
        "divided by one weight": lambda f, w, b: margin(f, w, b) * norm(w[1] - w[0]) / norm(w[1]),
        "bias not divided": lambda f, w, b: (w[1] - w[0]) @ f / norm(w[1] - w[0]) + b[1] - b[0],
        "bias with a wrong sign": lambda f, w, b: ((w[1] - w[0]) @ f - b[1] + b[0]) / norm(w[1] - w[0]),
        "interior logit": lambda f, w, b: w[1] @ f + b[1],
        "last class": lambda f, w, b: (
            ((w[-1] - w[0]) @ f + b[-1] - b[0]) / norm(w[-1] - w[0]) if len(w) > 2 else margin(f, w, b)
        ),
        "sum of absolute values": lambda f, w, b: (
            margin(f, w, b) * norm(w[1] - w[0]) / abs(w[1] - w[0]).sum()
        ),
        "cosine": lambda f, w, b: margin(f, w, b) / max(norm(f), 1e-9),
        "whole matrix": lambda f, w, b: w @ f + b,
        "side only": lambda f, w, b: np.sign(margin(f, w, b)),
    },
    "03.3": {
        "over the total": lambda v, c: between(v, c) / total(v),
        "classes not weighted": lambda v, c: (
            sum(total(np.stack([r.mean(0), v.mean(0)])) * 2 for r in parts(v, c)) / within(v, c)
        ),
        "upside down": lambda v, c: within(v, c) / between(v, c),
        "roots": lambda v, c: np.sqrt(between(v, c) / within(v, c)),
        "degrees of freedom": calinski_harabasz_score,
        "between alone": between,
        "within alone": within,
        "variances not weighted": lambda v, c: between(v, c) / sum(r.var(axis=0).sum() for r in parts(v, c)),
        "first two classes": first_two,
        "first column": lambda v, c: between(v[:, :1], c) / within(v[:, :1], c),
        "distance of means": lambda v, c: norm(parts(v, c)[0].mean(0) - parts(v, c)[1].mean(0)),
        "per column": lambda v, c: (
            np.array([between(v[:, [k]], c) for k in range(v.shape[1])]) / within(v, c)
        ),
        "distances not squared": lambda v, c: (
            sum(len(r) * norm(r.mean(0) - v.mean(0)) for r in parts(v, c))
            / sum(norm(r - r.mean(0), axis=1).sum() for r in parts(v, c))
        ),
        "mean of means": lambda v, c: (
            sum(
                len(r) * ((r.mean(0) - np.mean([p.mean(0) for p in parts(v, c)], 0)) ** 2).sum()
                for r in parts(v, c)
            )
            / within(v, c)
        ),
    },
}
