"""TensorBoard is written where it is installed, and not missed where it is not."""

from __future__ import annotations

import sys
import types
from pathlib import Path

import pytest

from maunet_lite.training.tensorboard import add_row, open_board


class FakeWriter:
    """Stands for TensorBoard's writer, which need not be installed."""

    def __init__(self, folder: str) -> None:
        self.folder, self.points, self.flushed = folder, [], 0

    def add_scalar(self, tag: str, scalar_value: float, global_step: int) -> None:
        self.points.append((tag, scalar_value, global_step))

    def flush(self) -> None:
        self.flushed += 1


def test_each_number_is_a_point_of_its_curve(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    module = types.ModuleType("torch.utils.tensorboard")
    module.SummaryWriter = FakeWriter
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", module)
    board = open_board(tmp_path)
    assert board.folder == str(tmp_path / "tensorboard")
    add_row(board, "training", {"loss": 0.5, "dice": 0.25}, step=20)
    assert board.points == [("training/loss", 0.5, 20), ("training/dice", 0.25, 20)]
    assert board.flushed == 1


def test_nothing_is_asked_of_a_machine_without_tensorboard(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)  # importing it then fails
    board = open_board(tmp_path)
    assert board is None
    add_row(board, "training", {"loss": 0.5}, step=20)
    assert not list(tmp_path.iterdir())
