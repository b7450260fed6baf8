"""The numbers of a run in TensorBoard, where it is installed; the CSV logs are written in any case."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol


class Board(Protocol):
    """What a run needs of TensorBoard's writer."""

    def add_scalar(self, tag: str, scalar_value: float, global_step: int) -> None:
        """Add a point to a curve."""

    def flush(self) -> None:
        """Write what was added to disk."""


def open_board(folder: Path) -> Board | None:
    """Return a writer to ``folder/tensorboard``, or None where TensorBoard is not installed.

    Look at it with ``tensorboard --logdir FOLDER_OF_RUNS``.
    """
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        return None
    return SummaryWriter(str(folder / "tensorboard"))


def add_row(board: Board | None, group: str, row: dict[str, float], step: int) -> None:
    """Add each number of a row as a point of its curve ``group/name``."""
    if board is None:
        return
    for name, value in row.items():
        board.add_scalar(f"{group}/{name}", value, step)
    board.flush()
