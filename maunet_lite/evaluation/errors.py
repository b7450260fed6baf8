"""Which cells went wrong, and how: missed, split, merged, invented (for paper 4.2, "failure cases")."""

from typing import NamedTuple

import numpy as np

from maunet_lite.evaluation.matching import matched_pairs, overlaps, valid_pair


class Errors(NamedTuple):
    """What became of every cell. All attributes but `matched` are arrays of ids, ascending.

    Every true cell is in exactly one of `found`, `split`, `merged` and `missed`; every predicted cell in
    exactly one of `right`, `pieces`, `mergers` and `invented`. One of the pieces of a split cell, or one of
    the cells in a merger, may overlap enough for a match: `matched` has the pairs that the score counts.
    """

    matched: np.ndarray  # (tp, 2): ids in truth and in prediction
    found: np.ndarray  # true cells with a partner, neither split nor merged
    split: np.ndarray  # true cells cut into pieces
    merged: np.ndarray  # true cells joined with others
    missed: np.ndarray  # all other true cells
    right: np.ndarray  # predictions with a partner, neither piece nor merger
    pieces: np.ndarray  # predictions that are part of a split cell
    mergers: np.ndarray  # predictions that join several cells
    invented: np.ndarray  # all other predictions

    def counts(self) -> dict[str, int]:
        """Return the number of true cells found, split, merged and missed, and of invented predictions."""
        return {kind: len(getattr(self, kind)) for kind in ("found", "split", "merged", "missed", "invented")}

    def __str__(self) -> str:
        return ", ".join(f"{count} {kind}" for kind, count in self.counts().items())


def errors(truth: np.ndarray, prediction: np.ndarray, iou: float = 0.5, border: int = 0) -> Errors:
    """Say of every cell whether it was found, split, merged, missed or invented.

    "Mostly inside" means with more than half of its pixels.

    - **split**: at least two predictions lie mostly inside the true cell, and together they cover more than
      half of it. These predictions are its `pieces`.
    - **merged**: the same with the roles exchanged: at least two true cells lie mostly inside one prediction,
      the merger, and together make up more than half of it. A cell that is both counts as split.
    - **missed**: any other true cell without a partner of IoU ≥ `iou`, be it that nothing is there or that
      the outline is too far off.
    - **invented**: any other prediction without a partner.

    Parameters
    ----------
    truth, prediction : (H, W) integer arrays
        Label maps, 0 is background.
    iou : float, default 0.5
        Least IoU of a match, as in `match_cells`.
    border : int, default 0
        Cells in the outermost `border` pixels are left out. The score does so with 2. To look at, 0 is
        better: where only one of truth and prediction touches the border, a good prediction would look
        invented.

    Returns
    -------
    Errors

    Raises
    ------
    LabelError, ValueError
        If a map is no label map, or the shapes differ.

    Examples
    --------
    Cell 1 is cut in two, cells 2 and 3 are one, cell 4 is not there, and 9 is nothing:

    >>> truth      = np.array([[1, 1, 1, 1, 0, 2, 2, 3, 3, 0, 4, 4, 0, 0]])
    >>> prediction = np.array([[5, 5, 6, 6, 0, 7, 7, 7, 7, 0, 0, 0, 9, 9]])
    >>> found = errors(truth, prediction)
    >>> print(found)
    0 found, 1 split, 2 merged, 1 missed, 1 invented
    >>> found.pieces.tolist(), found.mergers.tolist(), found.merged.tolist()
    ([5, 6], [7], [2, 3])
    """
    table = overlaps(*valid_pair(truth, prediction), border)
    cells, predictions, rows, columns = table.truth, table.prediction, table.rows, table.columns
    pairs = matched_pairs(table, iou)
    split, pieces = _several(rows, columns, table.shared, table.truth_area, table.prediction_area)
    mergers, merged = _several(columns, rows, table.shared, table.prediction_area, table.truth_area)
    merged &= ~split
    mergers &= ~pieces
    whole, single = ~(split | merged), ~(pieces | mergers)
    has_partner = np.isin(np.arange(cells.size), rows[pairs])
    is_partner = np.isin(np.arange(predictions.size), columns[pairs])
    matched = np.stack([cells[rows[pairs]], predictions[columns[pairs]]], axis=1)
    fates = whole & has_partner, split, merged, whole & ~has_partner
    kinds = single & is_partner, pieces, mergers, single & ~is_partner
    return Errors(matched, *(cells[fate] for fate in fates), *(predictions[kind] for kind in kinds))


def _several(
    wholes: np.ndarray, parts: np.ndarray, shared: np.ndarray, area: np.ndarray, part_area: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Find wholes that at least two parts, mostly inside, cover by more than half; and those parts.

    `wholes` and `parts` number the cells of each overlapping pair, (K,), and `shared` counts its pixels;
    `area` is that of each whole, `part_area` that of each part. Returns two masks, over wholes and parts.
    """
    inside = 2 * shared > part_area[parts]
    count = np.bincount(wholes[inside], minlength=area.size)
    covered = np.bincount(wholes[inside], weights=shared[inside], minlength=area.size)
    divided = (count >= 2) & (2 * covered > area)
    return divided, np.isin(np.arange(part_area.size), parts[inside & divided[wholes]])
