"""The folder of a training run: configuration, logs, checkpoints, and how a run is taken up again."""

from __future__ import annotations

import json
import platform
import signal
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
import torch
from torch import nn

from maunet_lite.data import atomic_path
from maunet_lite.network import MAUNet, save_model
from maunet_lite.training.recipes import BUDGETS, HEADS, TrainConfig
from maunet_lite.training.tensorboard import Board, add_row, open_board

if TYPE_CHECKING:
    from maunet_lite.training.validation import Report

# What may differ between a run and its continuation: where it runs, and how long.
_MAY_CHANGE = {
    *BUDGETS,
    "out",
    "device",
    "workers",
    "precision",
    "compile",
    "validate_every",
    "save_every",
    "log_every",
}
AGAIN = 2.0  # seconds within which a second signal is the first one, passed on by a launcher


@dataclass(frozen=True)
class TrainResult:
    """How a training ended."""

    folder: Path
    steps: int
    best_score: float
    interrupted: bool
    split: str = "val"  # whose images were scored

    @property
    def best(self) -> Path:
        """Path of the best weights (of the last ones, if none were validated)."""
        best = self.folder / "best.safetensors"
        return best if best.exists() else self.folder / "last.safetensors"


@dataclass
class Run:
    """A run on disk and its counters. Only the main process writes (`writer`)."""

    folder: Path
    config: TrainConfig
    writer: bool = True
    split: str = "val"
    processes: int = 1
    step: int = 0
    minutes: float = 0.0
    best_score: float = -1.0
    validated_at: int = -1
    _sums: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    _counts: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    _is_best: bool = False
    _asked_for_board: bool = False
    _opened_board: Board | None = None

    @classmethod
    def open(cls, config: TrainConfig, *, resume: bool) -> Run:
        """Start the run in ``config.out``, or take up the one that is there; only for the main process."""
        folder = Path(config.out)
        if holds_run(folder):
            if not resume:
                raise FileExistsError(
                    f"{folder} already holds a run; go on with --resume, or choose another --out"
                )
            if (folder / "config.json").exists():
                before = json.loads((folder / "config.json").read_text())
                if changed := changed_settings(before, config):
                    raise ValueError(
                        f"{folder} was started with other settings: {', '.join(changed)}. "
                        "Resume with the same ones, or choose another --out"
                    )
        folder.mkdir(parents=True, exist_ok=True)
        _write_json(folder / "config.json", config.to_dict())
        return cls(folder, config)

    def restore(self, module: nn.Module, optimizer: torch.optim.Optimizer) -> None:
        """Load the last saved state, if there is one, into `module` and `optimizer`."""
        path = self.folder / "state.pt"
        if not path.exists():
            return
        state = torch.load(path, map_location="cpu", weights_only=True)
        module.load_state_dict(state["module"])
        optimizer.load_state_dict(state["optimizer"])
        self.step, self.minutes = state["step"], state["minutes"]
        self.best_score, self.validated_at = state["best_score"], state["validated_at"]
        for name in ("log.csv", "validation.csv"):
            self._forget_after(name)

    def _forget_after(self, name: str) -> None:
        """Drop rows that were logged after the last save; the steps will be done again."""
        path = self.folder / name
        if self.writer and path.exists():
            table = pd.read_csv(path)
            with atomic_path(path) as part:
                table[table["step"] <= self.step].to_csv(part, index=False)

    def save(self, network: MAUNet, module: nn.Module, optimizer: torch.optim.Optimizer) -> None:
        """Write the state to resume from, and ``last.safetensors``."""
        state = {
            "module": module.state_dict(),
            "optimizer": optimizer.state_dict(),
            "step": self.step,
            "minutes": self.minutes,
            "best_score": self.best_score,
            "validated_at": self.validated_at,
        }
        with atomic_path(self.folder / "state.pt") as part:
            torch.save(state, part)
        save_model(network, self.folder / "last.safetensors", self.record())
        if self.validated_at == self.step and self._is_best:
            save_model(network, self.folder / "best.safetensors", self.record(self.best_score))

    def record(self, score: float | None = None) -> dict[str, Any]:
        """Return what stands beside a weight file: configuration, budget, versions, score."""
        return {
            "training": self.config.to_dict(),
            "steps": self.step,
            "minutes": round(self.minutes, 2),
            f"{self.split}_f1": score,
            "processes": self.processes,
            "torch": torch.__version__,
            "machine": f"{platform.machine()}, {platform.system()}",
        }

    def accumulate(self, parts: dict[str, float]) -> None:
        """Add the loss parts of one step."""
        for name, value in parts.items():
            self._sums[name] += value
            self._counts[name] += 1

    def mean_parts(self) -> dict[str, float]:
        """Return the mean loss parts since the last call."""
        means = {name: value / self._counts[name] for name, value in self._sums.items()}
        self._sums.clear()
        self._counts.clear()
        return means

    def log(self, row: dict[str, float]) -> None:
        """Append a row to ``log.csv``."""
        self._append("log.csv", row)
        add_row(self._board(), "training", row, self.step)

    def record_validation(self, report: Report) -> None:
        """Append a row to ``validation.csv`` and remember whether it is the best so far."""
        self._append("validation.csv", report.row())
        add_row(self._board(), "validation", report.row(), self.step)
        self.validated_at = self.step
        self._is_best = report.score > self.best_score
        self.best_score = max(self.best_score, report.score)

    def _board(self) -> Board | None:
        """Return TensorBoard's writer, opened on first use by the process that writes."""
        if self.writer and not self._asked_for_board:
            self._asked_for_board, self._opened_board = True, open_board(self.folder)
        return self._opened_board

    def _append(self, name: str, row: dict[str, float]) -> None:
        if not self.writer:
            return
        path = self.folder / name
        row = {"step": self.step, "minutes": round(self.minutes, 3)} | {
            k: round(v, 6) for k, v in row.items()
        }
        table = pd.DataFrame([row])
        if path.exists() and list(pd.read_csv(path, nrows=0)) != list(table):
            # A part that was not there before (a modality's pseudo labels, say): write the whole table anew.
            table = pd.concat([pd.read_csv(path), table])
            with atomic_path(path) as part:
                table.to_csv(part, index=False)
            return
        table.to_csv(path, mode="a", header=not path.exists(), index=False)

    def plot_curve(self) -> None:
        """Draw ``curve.png`` from the logs."""
        from matplotlib import pyplot as plt

        from maunet_lite.figures import learning_curve

        tables = [
            pd.read_csv(p) if (p := self.folder / n).exists() else None for n in ("log.csv", "validation.csv")
        ]
        if tables[0] is None or len(tables[0]) < 2:
            return
        figure = learning_curve(tables[0], tables[1])
        with atomic_path(self.folder / "curve.png") as part:
            figure.savefig(part, dpi=90, bbox_inches="tight")
        plt.close(figure)  # a notebook would show it

    def result(self, interrupted: bool) -> TrainResult:
        """Return how the run ended."""
        return TrainResult(self.folder, self.step, self.best_score, interrupted, self.split)


def holds_run(folder: Path) -> bool:
    """Tell whether a training left anything in `folder`; a configuration alone is no run."""
    return any(
        (folder / name).exists() for name in ("state.pt", "log.csv", "last.safetensors", "best.safetensors")
    )


def changed_settings(before: dict[str, Any], config: TrainConfig) -> list[str]:
    """Return, in words, how `config` differs from the record of a run, in what a resumed run may not change.

    Examples
    --------
    >>> changed_settings(TrainConfig(minutes=1).to_dict(), TrainConfig(minutes=2, seed=3))
    ['seed 0, now 3']
    """
    now = json.loads(json.dumps(config.to_dict()))
    before = json.loads(json.dumps(before))
    leave = set(_MAY_CHANGE)
    if config.start_from:  # the network is that of the weights
        leave |= {"model", "network", *HEADS}
    for name in ("data", "unlabelled", "start_from"):
        if now[name] and before.get(name) and Path(now[name]).resolve() == Path(before[name]).resolve():
            leave.add(name)  # written in another way
    changed = []
    for name, value in now.items():
        old = before.get(name, value)
        if name in leave or old == value:
            continue
        if isinstance(value, dict) and isinstance(old, dict) and old.keys() == value.keys():
            changed += [f"{k} {old[k]!r}, now {value[k]!r}" for k in value if old[k] != value[k]]
        else:
            changed.append(f"{name} {old!r}, now {value!r}")
    return changed


def _write_json(path: Path, record: dict[str, Any]) -> None:
    with atomic_path(path) as part:
        part.write_text(json.dumps(record, indent=1) + "\n")


@dataclass
class StopRequest:
    """Set by Ctrl-C; the loop stops after the step it is in."""

    requested: bool = False


@contextmanager
def interruptible() -> Iterator[StopRequest]:
    """Turn the first Ctrl-C (or SIGTERM) into a request to stop; a second Ctrl-C stops at once.

    A scheduler signals every process, and a launcher passes the signal on to the same processes: what comes
    right after the first is no second request, and SIGTERM never is.
    """
    stop, asked = StopRequest(), 0.0
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return

    def ask(signum: int, frame: object) -> None:
        nonlocal asked
        if stop.requested and signum == signal.SIGINT and time.monotonic() - asked > AGAIN:
            raise KeyboardInterrupt
        if not stop.requested:
            stop.requested, asked = True, time.monotonic()

    before = {s: signal.signal(s, ask) for s in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
