"""The two tables of a run over many images: one row per image, and one row per cell.

The table of cells is joined from one small file per image, one after another: it may be larger than memory,
and an interrupted run loses nothing.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from maunet_lite.data import atomic_path
from maunet_lite.export import for_terminal, from_spreadsheet, write_table
from maunet_lite.scale.batch.one_image import Outcome

SECONDS = [f"seconds_{stage}" for stage in ("read", "network", "postprocess", "write")]
COUNTS = ["cells", "height", "width"]
# of the cells in pixels; at which the network saw the image, first of several; means over its cells
SIZES = ["diameter", "scale", "score", "doubt"]
COLUMNS = ["image", "status", *COUNTS, *SIZES, *SECONDS, "reason", "labels"]


def write_tables(out: Path, items: Sequence[Outcome]) -> None:
    """Write ``summary`` and ``cells`` for the images of a run, and for those of earlier runs in this folder.

    Parameters
    ----------
    out : Path
        The folder with the label maps, and with ``cells/NAME.csv`` for each image.
    items : sequence of Outcome
        What became of each image of this run.
    """
    summary = merge(read_summary(out), pd.DataFrame(map(_row, items), columns=COLUMNS), out)
    write_table(out / "summary.csv", summary, "%.4g")
    good = summary.loc[summary["status"] != "failed", "labels"]  # what a failed image had says no more of it
    files = (Outcome(out, out / labels).file("cells") for labels in good)
    if parts := [file for file in files if file.exists()]:
        join_cells(parts, out)
    else:
        (out / "cells.csv").unlink(missing_ok=True)


def read_summary(out: Path) -> pd.DataFrame:
    """Return the summary of earlier runs in a folder; empty if there is none, or if it cannot be used."""
    try:
        table = pd.read_csv(out / "summary.csv", dtype={"image": str, "labels": str, "reason": str})
        table = table.reindex(columns=COLUMNS).dropna(subset=["image", "labels"]).fillna({"reason": ""})
        texts = ["image", "labels", "reason"]
        table[texts] = table[texts].map(from_spreadsheet)
        return table.astype(dict.fromkeys(COUNTS + SECONDS, float))
    except (OSError, ValueError):  # pandas' errors for damaged files are ValueErrors
        return pd.DataFrame(columns=COLUMNS)


def _row(item: Outcome) -> dict[str, Any]:
    cells = item.cells if item.status in ("segmented", "completed") else None
    if item.status == "skipped" and item.file("cells").exists():
        cells = item.file("cells").read_bytes().count(b"\n") - 1  # under the header
    row = {name: getattr(item, name) for name in ("status", "height", "width", "score", "doubt", "reason")}
    row |= {"image": for_terminal(item.image.name), "cells": cells, "labels": item.labels.name}
    if item.size is not None:
        row |= {"diameter": item.size.diameter, "scale": item.size.scales[0]}
    return row | {f"seconds_{stage}": seconds for stage, seconds in item.seconds.items()}


def merge(before: pd.DataFrame, now: pd.DataFrame, out: Path) -> pd.DataFrame:
    """Return one row per image: this run's, with what earlier runs know of those that were skipped.

    Rows of images that are no part of this run stay as long as their label maps do. An image has one row,
    even if its label map had another name before.
    """
    before, now = (table.set_index("labels", drop=False) for table in (before, now))
    numbers = COUNTS + SIZES + SECONDS
    before[numbers], now[numbers] = (table[numbers].astype(float) for table in (before, now))
    kept = now["status"].isin(["skipped", "completed"])
    now[numbers] = now[numbers].fillna(before[numbers].reindex(now.index[kept]))
    others = before.loc[[name not in now.index and (out / name).exists() for name in before.index]]
    others = others[~others["image"].isin(now["image"])]
    return pd.concat([others, now] if len(others) else [now]).astype(dict.fromkeys(COUNTS, "Int64"))


def join_cells(parts: Sequence[Path], out: Path) -> None:
    """Join the tables of many images into ``cells.csv``, one after another."""
    columns = list(dict.fromkeys(name for part in parts for name in pd.read_csv(part, nrows=0).columns))
    with atomic_path(out / "cells.csv") as path, path.open("w", encoding="utf-8", newline="") as file:
        for number, part in enumerate(parts):  # as text: what is written is what was measured
            table = pd.read_csv(part, dtype=str, keep_default_na=False).reindex(columns=columns)
            table.to_csv(file, index=False, header=number == 0, lineterminator="\n")
