"""Answers to the exercises of notebook 07: right ones in many styles, and plausible wrong ones."""

import math

import numpy as np
import pandas as pd
import torch
from scipy import ndimage, optimize, stats
from skimage.measure import regionprops
from sklearn.linear_model import LinearRegression

from maunet_lite.postprocessing import Runs


# --- 07.1
def left(budget, base, per_pixel):
    return max(budget - base, 0) / per_pixel


def counted(budget, base, per_pixel):
    side = 0
    while base + (side + 1) ** 2 * per_pixel <= budget:
        side += 1
    return side


def bisected(budget, base, per_pixel):
    low, high = 0, budget + 1
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if base + middle**2 * per_pixel <= budget else (low, middle)
    return low


def with_if(budget, base, per_pixel):
    if budget <= base:
        return 0
    return int(math.sqrt((budget - base) / per_pixel))


def with_try(budget, base, per_pixel):
    try:
        return math.isqrt((budget - base) // per_pixel)
    except ValueError:
        return 0


# --- 07.2
def stepping(length, window, overlap):
    last = max(length - window, 0)
    return [*range(0, last, window - overlap), last]


def spread(length, window, overlap):
    if length <= window:
        return [0]
    n = math.ceil((length - overlap) / (window - overlap))
    return [round(start) for start in np.linspace(0, length - window, n)]


def with_while(length, window, overlap):
    starts = [0]
    while starts[-1] + window < length:
        starts.append(min(starts[-1] + window - overlap, length - window))
    return starts


def from_the_end(length, window, overlap):
    starts, start = [], max(length - window, 0)
    while start > 0:
        starts.insert(0, start)
        start -= window - overlap
    return [0, *starts]


def yielded(length, window, overlap):
    start = 0
    while start + window < length:
        yield start
        start += window - overlap
    yield max(length - window, 0)


def recursive(length, window, overlap):
    if length <= window:
        return [0]
    return [*recursive(length - (window - overlap), window, overlap), length - window] if length else []


# --- 07.3
def named(labels, top, left, width):
    found = []
    for k in range(1, labels.max() + 1):
        rows, columns = np.nonzero(labels == k)
        found.append((rows[0] + top) * width + columns[0] + left)
    return np.array(found)


def by_runs(labels, top, left, width):
    row, column = np.divmod(Runs.of(labels).first_pixels(int(labels.max()))[1:], labels.shape[1])
    return (row + top) * width + column + left


def by_unique(labels, top, left, width):
    ids, first = np.unique(labels, return_index=True)
    row, column = np.unravel_index(first[ids > 0], labels.shape)
    return np.ravel_multi_index((row + top, column + left), (10**6, width))


def by_scan(labels, top, left, width):
    names = {}
    for y, row in enumerate(labels.tolist()):
        for x, k in enumerate(row):
            if k and k not in names:
                names[k] = (y + top) * width + x + left
    return [names[k] for k in sorted(names)]


def on_the_slide(labels, top, left, width):
    slide = np.zeros((top + labels.shape[0], width), int)
    slide[top:, left : left + labels.shape[1]] = labels
    return [int(np.flatnonzero(slide == k)[0]) for k in range(1, labels.max() + 1)]


def by_pandas(labels, top, left, width):
    rows, columns = np.nonzero(labels)
    table = pd.DataFrame({"cell": labels[rows, columns], "name": (rows + top) * width + columns + left})
    return table.groupby("cell")["name"].min()


def by_minimum(labels, top, left, width):
    rows, columns = np.indices(labels.shape)
    positions = (rows + top) * width + columns + left
    return ndimage.minimum(positions, labels, range(1, labels.max() + 1))


def by_regions(labels, top, left, width):
    return [min((y + top) * width + x + left for y, x in cell.coords) for cell in regionprops(labels)]


def corner(labels, top, left, width):
    cells = [np.nonzero(labels == k) for k in range(1, labels.max() + 1)]
    return np.array([(rows.min() + top) * width + columns.min() + left for rows, columns in cells])


def centre(labels, top, left, width):
    cells = [np.nonzero(labels == k) for k in range(1, labels.max() + 1)]
    return [(int(y.mean()) + top) * width + int(x.mean()) + left for y, x in cells]


# --- 07.4
def line(x, y):
    slope, start = np.polyfit(x, y, 1)
    return start, slope


def by_hand(x, y):
    slope = sum((x - x.mean()) * (y - y.mean())) / sum((x - x.mean()) ** 2)
    return y.mean() - slope * x.mean(), slope


def normal_equations(x, y):
    matrix = np.stack([np.ones_like(x), x], axis=1)
    return tuple(np.linalg.lstsq(matrix, y, rcond=None)[0])


def by_scipy(x, y):
    fit = stats.linregress(x, y)
    return fit.intercept, fit.slope


def by_sklearn(x, y):
    fit = LinearRegression().fit(x[:, None], y)
    return fit.intercept_, fit.coef_[0]


def by_curve(x, y):
    return optimize.curve_fit(lambda x, start, slope: start + slope * x, x, y)[0]


def ends(x, y):
    slope = (y[-1] - y[0]) / (x[-1] - x[0])
    return y[0] - slope * x[0], slope


def theil_sen(x, y):
    fit = stats.theilslopes(y, x)
    return fit.intercept, fit.slope


RIGHT = {
    "07.1": {
        "square root": lambda budget, base, per_pixel: math.isqrt(max(budget - base, 0) // per_pixel),
        "floats": lambda *sizes: int(left(*sizes) ** 0.5),
        "counted": counted,
        "bisected": bisected,
        "if": with_if,
        "try": with_try,
        "floor": lambda *sizes: math.floor(math.sqrt(left(*sizes))),
        "numpy": lambda *sizes: np.floor(np.sqrt(left(*sizes))),
        "numpy integer": lambda *sizes: np.sqrt(left(*sizes)).astype(int),
        "clip": lambda b, c, p: int(np.sqrt(np.clip(b - c, 0, None) / p)),
        "torch": lambda *sizes: torch.tensor(left(*sizes)).sqrt().floor(),
        "one element": lambda *sizes: [int(left(*sizes) ** 0.5)],
        "whole division": lambda *sizes: left(*sizes) ** 0.5 // 1,
    },
    "07.2": {
        "evenly spread": spread,
        "steps, the last one moved back": stepping,
        "while": with_while,
        "from the end": from_the_end,
        "generator": yielded,
        "recursive": recursive,
        "array": lambda *axis: np.array(stepping(*axis)),
        "tuple": lambda *axis: tuple(stepping(*axis)),
        "torch": lambda *axis: torch.tensor(stepping(*axis)),
        "series": lambda *axis: pd.Series(spread(*axis)),
        "floats": lambda *axis: [float(start) for start in stepping(*axis)],
        "arange": lambda n, w, o: np.append(np.arange(0, max(n - w, 0), w - o), max(n - w, 0)),
    },
    "07.3": {
        "a loop": named,
        "runs": by_runs,
        "unique": by_unique,
        "scan": by_scan,
        "on the slide": on_the_slide,
        "pandas": by_pandas,
        "minimum": by_minimum,
        "regions": by_regions,
        "argmax": lambda k, t, c, w: [
            (f // k.shape[1] + t) * w + f % k.shape[1] + c
            for f in ((k == n).argmax() for n in range(1, k.max() + 1))
        ],
        "argwhere": lambda k, t, c, w: [
            int((np.argwhere(k == n)[0] + [t, c]) @ [w, 1]) for n in range(1, k.max() + 1)
        ],
        "torch": lambda *block: torch.tensor(named(*block)),
        "list": lambda *block: named(*block).tolist(),
        "generator": lambda *block: (int(name) for name in named(*block)),
    },
    "07.4": {
        "polyfit": line,
        "by hand": by_hand,
        "normal equations": normal_equations,
        "scipy": by_scipy,
        "sklearn": by_sklearn,
        "curve_fit": by_curve,
        "reversed": lambda x, y: np.polyfit(x, y, 1)[::-1],
        "new polynomials": lambda x, y: np.polynomial.Polynomial.fit(x, y, 1).convert().coef,
        "list": lambda x, y: list(line(x, y)),
        "series": lambda x, y: pd.Series(line(x, y), index=["start", "slope"]),
        "torch": lambda x, y: torch.tensor(line(x, y)),
        "covariance": lambda x, y: (
            y.mean() - np.cov(x, y)[0, 1] / x.var(ddof=1) * x.mean(),
            np.cov(x, y)[0, 1] / x.var(ddof=1),
        ),
    },
}
WRONG = {
    "07.1": {
        "without the root": lambda budget, base, per_pixel: (budget - base) // per_pixel,
        "base forgotten": lambda budget, base, per_pixel: int((budget / per_pixel) ** 0.5),
        "rounded up": lambda *sizes: math.ceil(left(*sizes) ** 0.5),
        "rounded to the nearest": lambda *sizes: round(left(*sizes) ** 0.5),
        "fails without room": lambda b, c, p: int(math.sqrt((b - c) / p)),
        "not rounded": lambda *sizes: left(*sizes) ** 0.5,
        "base added": lambda b, c, p: int(((b + c) / p) ** 0.5),
        "per side": lambda b, c, p: int(max(b - c, 0) ** 0.5 / p),
        "price forgotten": lambda b, c, p: int(max(b - c, 0) ** 0.5),
        "one at least": lambda *sizes: max(1, int(left(*sizes) ** 0.5)),
        "absolute value": lambda b, c, p: int((abs(b - c) / p) ** 0.5),
        "multiplied": lambda b, c, p: int((max(b - c, 0) * p) ** 0.5),
        "pixels": lambda *sizes: int(left(*sizes) ** 0.5) ** 2,
        "three channels": lambda *sizes: int((left(*sizes) / 3) ** 0.5),
    },
    "07.2": {
        "no overlap": lambda length, window, overlap: stepping(length, window, 0),
        "the end is missed": lambda n, w, o: list(range(0, max(n - w, 0) + 1, w - o)),
        "beyond the end": lambda n, w, o: list(range(0, max(n - o, 1), w - o)),
        "too many": lambda n, w, o: list(range(max(n - w, 0) + 1)),
        "step is the overlap": lambda n, w, o: [*range(0, max(n - w, 0), o or w), max(n - w, 0)],
        "one window too many": lambda *axis: sorted([*stepping(*axis), stepping(*axis)[-1]]),
        "negative start": lambda n, w, o: [*range(0, n - w, w - o), n - w],
        "ends": lambda n, w, o: [start + w for start in stepping(n, w, o)],
        "last first": lambda *axis: stepping(*axis)[::-1],
        "first and last only": lambda n, w, o: [0, n - w] if n > w else [0],
        "pairs": lambda n, w, o: [(start, start + w) for start in stepping(n, w, o)],
        "number of windows": lambda *axis: len(stepping(*axis)),
        "none for a small image": lambda n, w, o: stepping(n, w, o) if n > w else [],
        "first left out": lambda *axis: stepping(*axis)[1:] or [0],
    },
    "07.3": {
        "position in the block": lambda k, top, left, width: named(k, 0, 0, k.shape[1]),
        "width of the block": lambda k, top, left, width: named(k, top, left, k.shape[1]),
        "corner of the box": corner,
        "the labels themselves": lambda k, top, left, width: np.arange(1, k.max() + 1),
        "left forgotten": lambda k, top, left, width: named(k, top, 0, width),
        "top forgotten": lambda k, top, left, width: named(k, 0, left, width),
        "centre": centre,
        "top not multiplied": lambda k, top, left, width: named(k, 0, left, width) + top,
        "rows and columns swapped": lambda k, top, left, width: named(k.T, left, top, width),
        "counted from one": lambda *block: named(*block) + 1,
        "with the background": lambda k, t, c, w: np.r_[t * w + c, named(k, t, c, w)],
        "last pixel": lambda k, t, c, w: [
            int((np.argwhere(k == n)[-1] + [t, c]) @ [w, 1]) for n in range(1, k.max() + 1)
        ],
        "sorted": lambda *block: np.sort(named(*block)),
        "pairs": lambda k, t, c, w: [np.argwhere(k == n)[0] + [t, c] for n in range(1, k.max() + 1)],
        "leftmost pixel": lambda k, t, c, w: [
            (lambda p: (p[0] + t) * w + p[1] + c)(min(np.argwhere(k == n).tolist(), key=lambda p: p[1]))
            for n in range(1, k.max() + 1)
        ],
    },
    "07.4": {
        "wrong way round": lambda x, y: line(x, y)[::-1],
        "seconds by megapixels": lambda x, y: (0.0, float((y / np.maximum(x, 0.1)).mean())),
        "through the origin": lambda x, y: (0.0, float((x * y).sum() / (x * x).sum())),
        "axes swapped": lambda x, y: line(y, x),
        "first and last point": ends,
        "first two points": lambda x, y: ends(x[:2], y[:2]),
        "medians of slopes": theil_sen,
        "slope only": lambda x, y: line(x, y)[1],
        "parabola": lambda x, y: np.polyfit(x, y, 2)[::-1],
        "smallest time as start": lambda x, y: (y.min(), line(x, y)[1]),
        "mean time as start": lambda x, y: (y.mean(), line(x, y)[1]),
        "megapixels per second": lambda x, y: (line(x, y)[0], 1 / line(x, y)[1]),
        "first point as start": lambda x, y: (y[0], line(x, y)[1]),
        "weighted": lambda x, y: np.polyfit(x, y, 1, w=1 / y)[::-1],
        "words": lambda x, y: "7 and 0.5",
    },
}
