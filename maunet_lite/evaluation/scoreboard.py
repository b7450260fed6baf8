"""From one row per image to one row per modality, and to text that compares methods (paper, Table 7)."""

from collections.abc import Mapping

import pandas as pd

from maunet_lite.evaluation.matching import Match

# column of the summary: how it is headed
_COLUMNS = {
    "mean_f1": "F1 mean", "median_f1": "median", "pooled_f1": "pooled", "mean_f1_plain": "F1 plain",
    "mean_dice": "Dice", "mean_class_dice": "class Dice", "mean_pq": "PQ", "mean_seconds": "s/image",
}  # fmt: skip


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
    both = pd.concat([table.sort_values("modality", kind="stable"), table.assign(modality="all")])
    groups = both.groupby("modality", sort=False)
    counts = groups[["tp", "fp", "fn"]].sum().itertuples(index=False)
    sums = pd.DataFrame({"images": groups.size(), "mean_f1": groups["f1"].mean()})
    sums["median_f1"], sums["pooled_f1"] = groups["f1"].median(), [Match(*count).f1 for count in counts]
    for column in ("f1_plain", "dice", "class_dice", "pq", "precision", "recall", "seconds"):
        if column in table:
            sums[f"mean_{column}"] = groups[column].mean()
    if "error" in table:
        sums["failed"] = (both["error"].fillna("") != "").groupby(both["modality"]).sum()
        late = ~both["within_tolerance"].astype("boolean").fillna(True)
        sums["late"] = late.groupby(both["modality"]).sum().astype(int)
    return sums


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
            head = ["", ""] if number else [modality, f"{row['images']:.0f}"]
            values = row.reindex(list(_COLUMNS)).astype(float)
            lines.append([*head, name, *("–" if pd.isna(value) else f"{value:.3f}" for value in values)])
    notes = [note for name, one in sums.items() if (note := _note(name, one.loc["all"]))]
    return "\n".join([*_markdown(lines), *[""] * bool(notes), *notes])


def _note(name: str, row: pd.Series) -> str:
    """Say how many images failed and how many were late, "" if none."""
    reasons = {"failed": "failed and count as missed", "late": "took longer than the challenge allows"}
    total = f"{row['images']:.0f} images"
    parts = [f"{row[kind]:.0f} of {total} {what}" for kind, what in reasons.items() if row.get(kind)]
    return f"{name}: {'; '.join(parts)}" if parts else ""


def _markdown(lines: list[list[str]]) -> list[str]:
    """Lay out cells in columns of even width, text to the left, numbers to the right."""
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    sides = ["<" if head in ("modality", "method") else ">" for head in lines[0]]
    rule = ["-" * (n - 1) + ("-" if side == "<" else ":") for n, side in zip(widths, sides, strict=True)]
    formats = [f"{side}{width}" for width, side in zip(widths, sides, strict=True)]
    return ["| " + " | ".join(map(format, line, formats)) + " |" for line in (lines[0], rule, *lines[1:])]
