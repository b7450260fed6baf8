"""Checks of notebook 08: a split by well, suspicious values, one vote per well."""

import numpy as np
import pandas as pd

from maunet_lite.course.exercises.judge import Case, exercise


@exercise("08.1")
def split_by_well():
    """Split by well.

    1. There is one decision per image, and it depends on nothing but the well of that image.
    2. Go through the wells: "val" if the well is in chosen, else "train".
    3. return ["val" if well in chosen else "train" for well in wells]
    """
    wells, expected = ["A1", "A1", "A2", "A3", "A3", "A2"], ["train", "train", "val", "train", "train", "val"]
    yield Case(f"the wells {wells} with A2 chosen", (wells, ["A2"]), expected)
    column = pd.Series(wells, index=[3, 1, 4, 0, 5, 9])
    yield Case("the same wells as a column of a table", (column, ["A2"]), expected)
    wells, expected = ["A1", "A2", "A11"], ["val", "train", "val"]
    yield Case(f"the wells {wells} with A1 and A11 chosen", (wells, ["A1", "A11"]), expected)
    yield Case(f"the wells {wells} with A11 chosen", (wells, ["A11"]), ["train", "train", "val"])


@exercise("08.2")
def suspicion():
    """How suspicious each value is.

    1. distance = np.abs(values - np.median(values)): the MAD is the median of this very array.
    2. Divide by 1.4826 * np.median(distance), but not if that is 0.
    3. unit = 1.4826 * np.median(distance); return distance / unit if unit else np.zeros_like(distance)
    """
    values, expected = np.array([10.0, 11, 9, 10, 60]), np.array([0, 1, 1, 0, 50]) / 1.4826
    yield Case("10, 11, 9, 10, 60, of which the median is 10 and MAD 1", (values,), expected)
    values, expected = np.array([-1.0, 2, 6, 8]), np.array([5, 2, 2, 4]) / 3 / 1.4826
    yield Case("-1, 2, 6, 8, of which the median is 4 and MAD 3", (values,), expected)
    yield Case("three equal values", (np.array([3.0, 3, 3]),), [0, 0, 0])
    yield Case("3, 3, 3, 9, of which MAD is 0", (np.array([3.0, 3, 3, 9]),), [0, 0, 0, 0])


@exercise("08.3")
def treatment_means():
    """One well, one vote.

    1. First a mean per well, then a mean of these means. Start with cells[~cells["touches_border"]].
    2. inside.groupby(["treatment", "well"])["area"].mean() has one number per well.
    3. Group that again: .groupby("treatment").mean().to_dict()
    """
    wells, areas = ["C1"] * 3 + ["C2"] * 2 + ["C3"] * 2 + ["B1"] * 2, [6.0, 9, 15, 30, 2, 4, 6, 8, 12]
    cells = pd.DataFrame({"well": wells, "area": areas, "treatment": ["drug"] * 7 + ["control"] * 2})
    cells["touches_border"] = cells["area"] == 2
    case = "a control of one well, 8 and 12, and a drug of three: 6, 9, 15; 30 and a cut 2; 4, 6"
    yield Case(case, (cells,), {"control": 10, "drug": 15})  # the drug's wells have means of 10, 30 and 5
