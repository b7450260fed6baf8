"""Answers to the exercises of notebook 08: right ones in many styles, and plausible wrong ones."""

import statistics
from collections import defaultdict

import numpy as np
import pandas as pd
import torch
from scipy import stats


# --- 08.1
def by_well(wells, chosen):
    return ["val" if well in chosen else "train" for well in wells]


def appended(wells, chosen):
    split = []
    for well in wells:
        if well in chosen:
            split.append("val")
        else:
            split.append("train")
    return split


def assigned(wells, chosen):
    wells = np.array(list(wells))
    split = np.full(len(wells), "train")
    for well in chosen:
        split[wells == well] = "val"
    return split


def last_of_each(wells, chosen):
    wells = list(wells)
    return ["val" if well not in wells[i + 1 :] else "train" for i, well in enumerate(wells)]


def first_site(wells, chosen):
    wells = list(wells)
    return ["val" if well in chosen and well not in wells[:i] else "train" for i, well in enumerate(wells)]


# --- 08.2
def suspicion(values, factor=1.4826, center=np.median, spread=np.median):
    values = np.asarray(values, dtype=float)
    distance = np.abs(values - center(values))
    unit = factor * spread(distance)
    return distance / unit if unit else np.zeros_like(distance)


def by_loop(values):
    middle = statistics.median(values)
    mad = statistics.median(abs(v - middle) for v in values)
    return [abs(v - middle) / (1.4826 * mad) if mad else 0.0 for v in values]


def by_pandas(values):
    series = pd.Series(values)
    distance = (series - series.median()).abs()
    return (distance / (1.4826 * distance.median())).fillna(0) if distance.median() else distance * 0


def by_scipy(values):
    mad = stats.median_abs_deviation(values)
    return np.abs(values - np.median(values)) / (1.4826 * mad) if mad > 0 else np.zeros(len(values))


def by_divide(values):
    distance = abs(values - np.median(values))
    mad = np.full(len(values), np.median(distance))
    return np.divide(distance, 1.4826 * mad, out=np.zeros(len(values)), where=mad > 0)


def by_torch(values):
    x = torch.tensor(values)
    distance = (x - x.quantile(0.5)).abs()
    mad = distance.quantile(0.5)
    return distance / (1.4826 * mad) if mad else torch.zeros_like(x)


def by_sort(values):
    def median(numbers):
        numbers, half = sorted(numbers), len(numbers) // 2
        return numbers[half] if len(numbers) % 2 else (numbers[half - 1] + numbers[half]) / 2

    middle = median(values)
    mad = median([abs(v - middle) for v in values])
    return tuple(abs(v - middle) / mad / 1.4826 if mad else 0 for v in values)


def signed(values):
    return np.sign(values - np.median(values)) * suspicion(values)


def unless_equal(values):
    with np.errstate(divide="ignore", invalid="ignore"):
        distance = np.abs(values - np.median(values))
        return distance / (1.4826 * np.median(distance)) if np.ptp(values) else np.zeros(len(values))


# --- 08.3
def inside(cells):
    return cells[~cells["touches_border"]]


def votes(select=inside, of_cells="mean", of_wells="mean"):
    def answer(cells):
        wells = select(cells).groupby(["treatment", "well"])["area"].agg(of_cells)
        return wells.groupby("treatment").agg(of_wells).to_dict()

    return answer


def by_dictionaries(cells):
    wells = defaultdict(list)
    for cell in cells.itertuples():
        if not cell.touches_border:
            wells[cell.treatment, cell.well].append(cell.area)
    means = defaultdict(list)
    for (treatment, _), areas in wells.items():
        means[treatment].append(sum(areas) / len(areas))
    return {treatment: sum(found) / len(found) for treatment, found in means.items()}


def by_masks(cells):
    cells, result = inside(cells), {}
    for treatment in cells["treatment"].unique():
        mine = cells[cells["treatment"] == treatment]
        result[treatment] = np.mean(
            [mine[mine["well"] == well]["area"].mean() for well in mine["well"].unique()]
        )
    return result


def by_pivot(cells):
    return inside(cells).pivot_table(index="well", columns="treatment", values="area").mean().to_dict()


def by_weights(cells):
    cells = inside(cells)
    cells = cells.assign(w=1 / cells.groupby("well")["area"].transform("size"))
    sums = cells.assign(a=cells["area"] * cells["w"]).groupby("treatment")[["a", "w"]].sum()
    return (sums["a"] / sums["w"]).to_dict()


def by_frames(cells):
    wells = inside(cells).groupby(["treatment", "well"], as_index=False)["area"].mean()
    return dict(wells.groupby("treatment")["area"].mean().items())


def with_border_wells(cells):
    wells = inside(cells).groupby("well")["area"].mean()
    return cells.groupby("treatment")["well"].unique().map(lambda names: wells[names].max()).to_dict()


RIGHT = {
    "08.1": {
        "one line": by_well,
        "numpy": lambda w, c: list(np.where(np.isin(list(w), list(c)), "val", "train")),
        "array": lambda w, c: np.where(np.isin(np.array(w, str), c), "val", "train"),
        "appended": appended,
        "assigned": assigned,
        "map": lambda w, c: map(lambda well: "val" if well in c else "train", w),
        "generator": lambda w, c: ("val" if well in set(c) else "train" for well in w),
        "pandas": lambda w, c: pd.Series(list(w)).isin(c).map({True: "val", False: "train"}),
        "series with its index": lambda w, c: pd.Series(by_well(w, c), index=pd.Series(w).index),
        "look-up": lambda w, c: [("train", "val")[well in c] for well in w],
        "dict": lambda w, c: [dict.fromkeys(c, "val").get(well, "train") for well in w],
        "tuple": lambda w, c: tuple(by_well(w, c)),
        "any": lambda w, c: ["val" if any(well == one for one in c) else "train" for well in w],
    },
    "08.2": {
        "two medians": suspicion,
        "loop": by_loop,
        "pandas": by_pandas,
        "scipy": by_scipy,
        "divide": by_divide,
        "torch": by_torch,
        "sorted": by_sort,
        "list": lambda values: suspicion(values).tolist(),
        "percentile": lambda values: suspicion(values, center=lambda v: np.percentile(v, 50)),
        "quantile": lambda values: suspicion(values, spread=lambda d: np.quantile(d, 0.5)),
        "nan to zero": lambda v: np.where(np.median(abs(v - np.median(v))) > 0, suspicion(v), 0.0),
        "iterator": lambda values: iter(suspicion(values)),
        "normal": lambda v: suspicion(v, factor=1 / stats.norm.ppf(0.75)),
    },
    "08.3": {
        "two means": votes(),
        "dictionaries": by_dictionaries,
        "masks": by_masks,
        "pivot": by_pivot,
        "weights": by_weights,
        "frames": by_frames,
        "series": lambda cells: pd.Series(votes()(cells)),
        "query": lambda cells: votes(lambda c: c.query("not touches_border"))(cells),
        "loc": lambda cells: votes(lambda c: c.loc[c["touches_border"] == False])(cells),  # noqa: E712
        "unstack": lambda cells: (
            inside(cells).groupby(["well", "treatment"])["area"].mean().unstack().mean().to_dict()
        ),
        "python floats": lambda cells: {k: float(v) for k, v in votes()(cells).items()},
        "median of nothing": lambda cells: defaultdict(float, votes()(cells)),
    },
}
WRONG = {
    "08.1": {
        "every fifth image": lambda w, c: ["val" if i % 5 == 4 else "train" for i in range(len(w))],
        "one image of each well": last_of_each,
        "the wrong way round": lambda w, c: ["train" if well in c else "val" for well in w],
        "only the first site": first_site,
        "only the first well": lambda w, c: ["val" if well == c[0] else "train" for well in w],
        "by letters": lambda w, c: ["val" if well in "".join(c) else "train" for well in w],
        "beginnings": lambda w, c: [
            "val" if any(one.startswith(well) for one in c) else "train" for well in w
        ],
        "beginnings of the wells": lambda w, c: [
            "val" if well.startswith(tuple(c)) else "train" for well in w
        ],
        "parts of a name": lambda w, c: ["val" if any(one in well for one in c) else "train" for well in w],
        "truth values": lambda w, c: [well in c for well in w],
        "numbers": lambda w, c: [int(well in c) for well in w],
        "test": lambda w, c: ["test" if well in c else "train" for well in w],
        "validation": lambda w, c: ["validation" if well in c else "train" for well in w],
        "dict by well": lambda w, c: {well: "val" if well in c else "train" for well in w},
        "one per well": lambda w, c: ["val" if well in c else "train" for well in sorted(set(w))],
        "all the same": lambda w, c: ["train"] * len(w),
        "capitals": lambda w, c: [split.upper() for split in by_well(w, c)],
        "index of a column": lambda w, c: ["val" if w[i] in c else "train" for i in range(len(w))],
        "nothing": lambda w, c: None,
    },
    "08.2": {
        "mean and deviation": lambda v: np.abs(v - v.mean()) / (v.std() or 1),
        "with a sign": signed,
        "without the factor": lambda v: suspicion(v, factor=1),
        "divided by the factor": lambda v: suspicion(v, factor=1 / 1.4826),
        "distance from the mean": lambda v: suspicion(v, center=np.mean),
        "mean distance": lambda v: suspicion(v, spread=np.mean),
        "largest distance": lambda v: suspicion(v, spread=np.max),
        "only equal values are zero": unless_equal,
        "squared": lambda v: suspicion(v) ** 2,
        "distances only": lambda v: np.abs(v - np.median(v)),
        "quartiles": lambda v: (
            np.abs(v - np.median(v)) / ((np.subtract(*np.percentile(v, [75, 25]))) or 1) / 0.7413
        ),
        "MAD of one where it is 0": lambda v: (
            np.abs(v - np.median(v)) / (1.4826 * (np.median(abs(v - np.median(v))) or 1))
        ),
        "beyond three": lambda v: suspicion(v) > 3,
        "lower median": lambda v: suspicion(v, center=lambda x: np.sort(x)[(len(x) - 1) // 2]),
        "sorted": lambda v: np.sort(suspicion(v)),
        "sum": lambda v: suspicion(v).sum(),
    },
    "08.3": {
        "one cell, one vote": lambda cells: inside(cells).groupby("treatment")["area"].mean().to_dict(),
        "cut cells kept": votes(lambda cells: cells),
        "only cut cells": votes(lambda cells: cells[cells["touches_border"]]),
        "sums of wells": votes(of_cells="sum"),
        "medians of wells": votes(of_cells="median"),
        "median of the wells": votes(of_wells="median"),
        "largest well": votes(of_wells="max"),
        "number of wells": votes(of_wells="size"),
        "by well": lambda cells: inside(cells).groupby("well")["area"].mean().to_dict(),
        "one number": lambda cells: inside(cells).groupby("well")["area"].mean().mean(),
        "pairs as keys": lambda cells: inside(cells).groupby(["treatment", "well"])["area"].mean().to_dict(),
        "list": lambda cells: list(votes()(cells).values()),
        "values swapped": lambda cells: dict(
            zip(votes()(cells), list(votes()(cells).values())[::-1], strict=True)
        ),
        "best well": with_border_wells,
        "names written in": lambda cells: {name: votes()(cells).get(name) for name in ("control", "drug")},
        "first treatment": lambda cells: {"drug": votes()(cells)["drug"]},
        "nothing": lambda cells: None,
    },
}
