"""From one row per image to one row per modality, and to text that compares methods (paper, Table 7)."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from maunet_lite.evaluation.matching import Match
from maunet_lite.evaluation.metrics import summarize

# column of the summary: how it is headed
_COLUMNS = {
    "mean_f1": "F1 mean",
    "median_f1": "median",
    "pooled_f1": "pooled",
    "mean_f1_plain": "F1 plain",
    "mean_dice": "Dice",
    "mean_class_dice": "class Dice",
    "mean_pq": "PQ",
    "mean_seconds": "s/image",
}


def summary(table: pd.DataFrame) -> pd.DataFrame:
    """Sum up the rows of :func:`evaluate`: one row per modality, in alphabetical order, then "all".

    Returns
    -------
    pandas.DataFrame
        Index ``modality``. ``mean_…`` and ``median_…`` are over images, each with the same weight;
        ``pooled_f1`` is over cells, of all images together. ``images`` counts all, ``failed`` those with an
        ``error``, ``late`` those out of the challenge's time.

    Raises
    ------
    ValueError
        If the table has no rows.

    Examples
    --------
    >>> table = pd.DataFrame({"modality": ["dic", "dic"], "tp": [1, 8], "fp": [0, 1], "fn": [0, 3],
    ...                       "f1": [1.0, 0.8]})
    >>> summary(table)[["images", "mean_f1", "median_f1", "pooled_f1"]].round(2)
              images  mean_f1  median_f1  pooled_f1
    modality
    dic            2      0.9        0.9       0.82
    all            2      0.9        0.9       0.82
    """
    if table.empty:
        raise ValueError("the table has no rows: nothing to sum up")
    groups = [*table.groupby("modality", sort=True), ("all", table)]
    rows = pd.DataFrame([_sums(group) for _, group in groups])
    return rows.set_index(pd.Index([name for name, _ in groups], name="modality"))


def format_summary(tables: pd.DataFrame | Mapping[str, pd.DataFrame]) -> str:
    """Write the summaries of one or several methods as a Markdown table that is readable as it stands.

    Parameters
    ----------
    tables : pandas.DataFrame, or a mapping of methods to tables
        Tables of :func:`evaluate`, :func:`baseline` and :func:`evaluate_folder` on the same images.

    Returns
    -------
    str
        One block of rows per modality, one row per method; failures and late images in notes below.
    """
    tables = tables if isinstance(tables, Mapping) else {"model": tables}
    sums = {name: summary(table) for name, table in tables.items()}
    modalities = [m for m in dict.fromkeys(m for one in sums.values() for m in one.index) if m != "all"]
    lines = [["modality", "images", "method", *_COLUMNS.values()]]
    for modality in [*sorted(modalities), "all"]:
        rows = [(name, one.loc[modality]) for name, one in sums.items() if modality in one.index]
        for number, (name, row) in enumerate(rows):
            head = [modality, f"{row['images']:.0f}"] if number == 0 else ["", ""]
            lines.append([*head, name, *(_number(row.get(column)) for column in _COLUMNS)])
    notes = [f"{name}: {text}" for name, one in sums.items() if (text := _note(one.loc["all"]))]
    return "\n".join(_aligned(lines) + [""] * bool(notes) + notes)


def _sums(table: pd.DataFrame) -> dict[str, float]:
    """One row of the summary. Means skip nothing: a failed image has scores of 0."""
    scores = summarize(Match(*counts) for counts in table[["tp", "fp", "fn"]].itertuples(index=False))
    row: dict[str, float] = {
        "images": len(table),
        "mean_f1": float(table["f1"].mean()),
        "median_f1": float(table["f1"].median()),
        "pooled_f1": scores.pooled_f1,
    }
    for column in ("f1_plain", "dice", "class_dice", "pq", "precision", "recall", "seconds"):
        if column in table:
            row[f"mean_{column}"] = float(table[column].mean())
    if "error" in table:
        row["failed"] = int((table["error"].fillna("") != "").sum())
        row["late"] = int((~table["within_tolerance"].astype("boolean").fillna(True)).sum())
    return row


def _number(value: float | None) -> str:
    return "–" if value is None or np.isnan(value) else f"{value:.3f}"


def _note(row: pd.Series) -> str:
    notes = []
    if row.get("failed"):
        notes.append(f"{row['failed']:.0f} of {row['images']:.0f} images failed and count as missed")
    if row.get("late"):
        notes.append(f"{row['late']:.0f} of {row['images']:.0f} images took longer than the challenge allows")
    return "; ".join(notes)


def _aligned(lines: list[list[str]]) -> list[str]:
    """Lay out cells as a Markdown table in columns of even width, text to the left, numbers to the right."""
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    is_text = [name in ("modality", "method") for name in lines[0]]
    rule = ["-" * w if text else "-" * (w - 1) + ":" for w, text in zip(widths, is_text, strict=True)]
    padded = [
        [
            cell.ljust(w) if text else cell.rjust(w)
            for cell, w, text in zip(line, widths, is_text, strict=True)
        ]
        for line in (lines[0], rule, *lines[1:])
    ]
    return ["| " + " | ".join(line) + " |" for line in padded]
