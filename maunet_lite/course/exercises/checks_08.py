"""Checks of notebook 08: a split by well, suspicious values, one vote per well."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd

from maunet_lite.course.exercises.judge import compare, exercise


def _by_well(wells: Sequence[str], chosen: Sequence[str]) -> list[str]:
    return ["val" if well in chosen else "train" for well in wells]


def _last_of_each(wells: Sequence[str], chosen: Sequence[str]) -> list[str]:
    wells = list(wells)
    return ["val" if well not in wells[i + 1 :] else "train" for i, well in enumerate(wells)]


@exercise(
    "08.1",
    "split by well",
    hints=(
        "There is one decision per image, and it depends on nothing but the well of that image.",
        'Go through the wells: "val" if the well is in chosen, else "train".',
        'return ["val" if well in chosen else "train" for well in wells]',
    ),
    right={
        "one line": _by_well,
        "by numpy": lambda w, c: list(np.where(np.isin(list(w), list(c)), "val", "train")),
    },
    wrong={
        "every fifth image": lambda w, c: ["val" if i % 5 == 4 else "train" for i in range(len(w))],
        "one image of each well": _last_of_each,
        "the wrong way round": lambda w, c: ["train" if well in c else "val" for well in w],
        "only the first site": lambda w, c: ["val" if x in c and x not in list(w)[:i] else "train"
                                             for i, x in enumerate(w)],
    },
)  # fmt: skip
def check_split(answer: Callable[[Sequence[str], Sequence[str]], Sequence[str]]) -> None:
    """Judge the split of six images of three wells, as a list and as a column of a table."""
    wells = ["A1", "A1", "A2", "A3", "A3", "A2"]
    for given in (wells, pd.Series(wells, index=[3, 1, 4, 0, 5, 9])):
        got = answer(given, ["A2"])
        assert got is not None, "It returned None: is there a return?"
        got = [str(split) for split in got]
        assert set(got) <= {"train", "val"}, (
            f"Only 'train' and 'val' are expected, yours has {sorted(set(got))}."
        )
        wanted = ["train", "train", "val", "train", "train", "val"]
        assert got == wanted, f"For wells {wells} with A2 chosen: got {got}, expected {wanted}."
    got = list(answer(["A1", "A2", "A3"], ["A1", "A3"]))
    assert got == ["val", "train", "val"], "For wells A1, A2, A3 with A1 and A3 chosen: both belong to val."


def _suspicion(values: Sequence[float]) -> np.ndarray:
    values = np.asarray(values, dtype=float)
    distance = np.abs(values - np.median(values))
    unit = 1.4826 * np.median(distance)
    return distance / unit if unit else np.zeros_like(distance)


def _by_deviation(values: Sequence[float]) -> np.ndarray:
    values = np.asarray(values, dtype=float)
    return np.abs(values - values.mean()) / (values.std() or 1)


@exercise(
    "08.2",
    "how suspicious?",
    hints=(
        "distance = np.abs(values - np.median(values)): the MAD is the median of this very array.",
        "Divide by 1.4826 * np.median(distance), but not if that is 0.",
        "unit = 1.4826 * np.median(distance); return distance / unit if unit else np.zeros_like(distance)",
    ),
    right={"two medians": _suspicion},
    wrong={
        "mean and deviation": _by_deviation,
        "with a sign": lambda v: (
            (np.asarray(v) - np.median(v)) / (1.4826 * np.median(np.abs(v - np.median(v))) or 1)
        ),
        "without the factor": lambda v: 1.4826 * _suspicion(v),
        "distance from the mean": lambda v: (
            np.abs(np.asarray(v) - np.mean(v))
            / (1.4826 * np.median(np.abs(np.asarray(v) - np.median(v))) or 1)
        ),
    },
)
def check_suspicion(answer: Callable[[np.ndarray], np.ndarray]) -> None:
    """Judge five values with an outlier, and values without spread."""
    values = np.array([10.0, 11.0, 9.0, 10.0, 60.0])  # median 10, distances 0 1 1 0 50, MAD 1
    compare(answer(values), np.array([0, 1, 1, 0, 50]) / 1.4826, "10, 11, 9, 10, 60")
    compare(answer(np.array([3.0, 3.0, 3.0])), [0, 0, 0], "three equal values")


def _inside(cells: pd.DataFrame) -> pd.DataFrame:
    return cells[~cells["touches_border"]]


def _of_wells(cells: pd.DataFrame, kind: str) -> dict[str, float]:
    return cells.groupby(["treatment", "well"])["area"].agg(kind).groupby("treatment").mean().to_dict()


@exercise(
    "08.3",
    "one well, one vote",
    hints=(
        'First a mean per well, then a mean of these means. Start with cells[~cells["touches_border"]].',
        'inside.groupby(["treatment", "well"])["area"].mean() has one number per well.',
        'Group that again: .groupby("treatment").mean().to_dict()',
    ),
    right={"two means": lambda cells: _of_wells(_inside(cells), "mean")},
    wrong={
        "one cell, one vote": lambda cells: _inside(cells).groupby("treatment")["area"].mean().to_dict(),
        "cut cells kept": lambda cells: _of_wells(cells, "mean"),
        "only cut cells": lambda cells: _of_wells(cells[cells["touches_border"]], "mean"),
        "sums of wells": lambda cells: _of_wells(_inside(cells), "sum"),
    },
)
def check_votes(answer: Callable[[pd.DataFrame], dict[str, float]]) -> None:
    """Judge two treatments: one with a crowded and a sparse well, and with a cut cell."""
    cells = pd.DataFrame(
        {
            "treatment": ["drug"] * 5 + ["control"] * 2,
            "well": ["C1", "C1", "C1", "C2", "C2", "B1", "B1"],
            "area": [10, 10, 10, 30, 2, 8, 12],
            "touches_border": [False, False, False, False, True, False, False],
        }
    )
    got = answer(cells.copy())
    assert got is not None, "It returned None: is there a return?"
    got = dict(got)
    assert set(got) == {"drug", "control"}, (
        f"Expected the keys 'drug' and 'control', got {sorted(map(str, got))}."
    )
    compare(got["control"], 10, "the control, one well with cells of 8 and 12")
    compare(got["drug"], 20, "the drug, a well of three cells of 10, and one of 30 with a cut cell of 2")
