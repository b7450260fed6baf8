"""The two tables of a run over many images: one row per image, and one row per cell.

Both are written as CSV and, if pyarrow is there (``pip install 'maunet-lite[scale]'``), also as Parquet,
which is smaller and keeps types. The table of cells is joined from one small file per image, piece by
piece: it may be larger than memory, and an interrupted run loses nothing.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pandas as pd

from maunet_lite.data import atomic_path
from maunet_lite.scale.batch.one_image import STAGES, Job, Row

COLUMNS = ["image", "status", "cells", "height", "width", *(f"seconds_{stage}" for stage in STAGES),
           "reason", "labels"]  # fmt: skip
_ROWS_AT_ONCE = 100_000
_TEXTS = ("image",)
_NUMBERS_WHOLE = ("label", "area", "row_from", "row_to", "column_from", "column_to", "n_pieces", "n_holes")


def write_tables(out: Path, rows: Sequence[Row]) -> list[Path]:
    """Write ``summary`` and ``cells`` for the images of a run, and for those of earlier runs in this folder.

    Parameters
    ----------
    out : Path
        The folder with the label maps, and with ``cells/NAME.csv`` for each image.
    rows : sequence of Row
        What became of each image of this run.

    Returns
    -------
    list of Path
        The files written.
    """
    summary = merge(read_summary(out), [_record(row) for row in rows], out)
    with atomic_path(out / "summary.csv") as temporary:
        summary.to_csv(temporary, index=False, float_format="%.4g", lineterminator="\n")
    files = [out / "summary.csv"]
    if has_parquet():
        with atomic_path(out / "summary.parquet") as temporary:
            summary.to_parquet(temporary, index=False)
        files.append(out / "summary.parquet")
    parts = [
        Job(Path(image), out / labels).cells for image, labels in summary[["image", "labels"]].to_numpy()
    ]
    return files + join_cells([part for part in parts if part.exists()], out)


def has_parquet() -> bool:
    """Tell whether tables are written as Parquet too."""
    return importlib.util.find_spec("pyarrow") is not None


def read_summary(out: Path) -> pd.DataFrame:
    """Return the summary of earlier runs in a folder; empty if there is none, or if it cannot be used."""
    try:
        table = pd.read_csv(out / "summary.csv", dtype={"image": str, "labels": str, "reason": str})
        return table.reindex(columns=COLUMNS).fillna({"reason": ""})
    except (OSError, ValueError):  # pandas' errors for damaged files are ValueErrors
        return pd.DataFrame(columns=COLUMNS)


def merge(before: pd.DataFrame, records: list[dict[str, Any]], out: Path) -> pd.DataFrame:
    """Return one row per image: this run's, with what earlier runs know of those that were skipped.

    Rows of images that are no part of this run stay as long as their label maps do.
    """
    known = {row["labels"]: row for row in before.to_dict("records")}
    for record in records:
        old = known.get(record["labels"])
        if record["status"] in ("skipped", "completed") and old is not None:
            for name in ("height", "width", *(f"seconds_{stage}" for stage in STAGES)):
                record[name] = old[name] if pd.isna(record[name]) else record[name]
            if record["status"] == "skipped" and pd.isna(record["cells"]):
                record["cells"] = old["cells"]
    mine = {record["labels"] for record in records}
    kept = [row for name, row in known.items() if name not in mine and (out / name).exists()]
    table = pd.DataFrame([*kept, *records], columns=COLUMNS)
    for name in ("cells", "height", "width"):
        table[name] = pd.to_numeric(table[name]).astype("Int64")
    return table.astype({f"seconds_{stage}": float for stage in STAGES})


def _record(row: Row) -> dict[str, Any]:
    seconds = {f"seconds_{stage}": row.seconds.get(stage, float("nan")) for stage in STAGES}
    cells = row.cells if row.cells or row.status in ("segmented", "completed") else None
    if row.status == "skipped" and cells is None:
        cells = count_lines(Job(row.image, row.labels).cells)
    return {
        "image": row.image.name, "status": row.status, "cells": cells, "height": row.height,
        "width": row.width,
        **seconds, "reason": row.reason, "labels": row.labels.name,
    }  # fmt: skip


def count_lines(path: Path) -> int | None:
    """Return the rows of a CSV file under its header, None if there is no file."""
    if not path.exists():
        return None
    with path.open("rb") as file:
        return sum(1 for _ in file) - 1


def join_cells(parts: Sequence[Path], out: Path) -> list[Path]:
    """Join the tables of many images into ``cells.csv`` and ``cells.parquet``, a piece at a time."""
    if not parts:
        return []
    columns = list(dict.fromkeys(name for part in parts for name in pd.read_csv(part, nrows=0).columns))
    files = [out / "cells.csv"] + ([out / "cells.parquet"] if has_parquet() else [])
    with ExitStack() as stack:
        temporaries = [stack.enter_context(atomic_path(file)) for file in files]
        table = stack.enter_context(temporaries[0].open("w", encoding="utf-8", newline=""))
        parquet = stack.enter_context(_parquet(temporaries[1], columns)) if len(files) > 1 else None
        for number, piece in enumerate(_pieces(parts, columns)):
            piece.to_csv(table, index=False, header=number == 0, lineterminator="\n")
            if parquet is not None:
                _append(parquet, piece)
    return files


def _pieces(parts: Iterable[Path], columns: list[str]) -> Iterable[pd.DataFrame]:
    """Read tables one after another and hand them on together, some ten thousand rows at once."""
    waiting: list[pd.DataFrame] = []
    for part in parts:
        waiting.append(pd.read_csv(part, dtype={name: str for name in _TEXTS}).reindex(columns=columns))
        if sum(len(table) for table in waiting) >= _ROWS_AT_ONCE:
            yield _joined(waiting)
            waiting = []
    if waiting:
        yield _joined(waiting)


def _joined(tables: list[pd.DataFrame]) -> pd.DataFrame:
    filled = [table for table in tables if len(table)] or tables[:1]
    return pd.concat(filled, ignore_index=True)


def _parquet(path: Path, columns: list[str]) -> Any:
    import pyarrow
    import pyarrow.parquet

    kinds = {name: pyarrow.int64() for name in _NUMBERS_WHOLE} | {"touches_border": pyarrow.bool_()}
    kinds |= {name: pyarrow.string() for name in _TEXTS}
    schema = pyarrow.schema([(name, kinds.get(name, pyarrow.float64())) for name in columns])
    return pyarrow.parquet.ParquetWriter(path, schema, compression="zstd")


def _append(writer: Any, piece: pd.DataFrame) -> None:
    import pyarrow

    writer.write_table(pyarrow.Table.from_pandas(piece, schema=writer.schema, preserve_index=False))
