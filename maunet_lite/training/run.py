"""The folder of a training run: configuration, logs, checkpoints, and how a run is taken up again."""

import json
import platform
import signal
import threading
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
import torch
from torch import nn

from maunet_lite.data import atomic_path, write_text
from maunet_lite.export import write_table
from maunet_lite.network import MAUNet, save_model
from maunet_lite.postprocessing import read_json
from maunet_lite.training.recipes import BUDGETS, HEADS, TrainConfig

# What may differ between a run and its continuation: where it runs, and how long.
_MAY_CHANGE = {*BUDGETS, "out", "device", "workers", "precision", "compile"}
_MAY_CHANGE |= {"validate_every", "save_every", "log_every"}
_COUNTERS = ("step", "minutes", "best_score", "start_score", "validated_at")
AGAIN = 2.0  # seconds within which a second signal is the first one, passed on by a launcher


class TrainResult(NamedTuple):
    """How a training ended."""

    folder: Path
    steps: int
    best_score: float
    interrupted: bool
    split: str = "val"  # whose images were scored
    start_score: float | None = None  # before the first step, of weights that were fine-tuned

    @property
    def best(self) -> Path:
        """Path of the best weights (of the last ones, if none were validated)."""
        best = self.folder / "best.safetensors"
        return best if best.exists() else self.folder / "last.safetensors"


@dataclass
class Run:
    """A run on disk and its counters. Only the main process writes (`writer`)."""

    config: TrainConfig
    writer: bool = True
    split: str = "val"
    processes: int = 1
    step: int = 0
    minutes: float = 0.0
    best_score: float = -1.0
    start_score: float | None = None
    validated_at: int = -1
    best_at: int = -1
    parts: list[dict[str, float]] = field(default_factory=list)  # of the loss, since the last log

    @property
    def folder(self) -> Path:
        """The folder of the run."""
        return Path(self.config.out)

    @classmethod
    def open(cls, config: TrainConfig, *, resume: bool) -> "Run":
        """Start the run in ``config.out``, or take up the one that is there; only for the main process."""
        folder = Path(config.out)
        if holds_run(folder):
            if not resume:
                raise FileExistsError(f"{folder} already holds a run: give --resume, or another --out")
            if changed := ", ".join(changed_settings(run_settings(folder), config)):
                cure = "Resume with the same ones, or choose another --out"
                raise ValueError(f"{folder} was started with other settings: {changed}. {cure}")
        write_text(folder / "config.json", json.dumps(config.to_dict(), indent=1) + "\n")
        return cls(config)

    def restore(self, module: nn.Module, optimizer: torch.optim.Optimizer) -> None:
        """Load the last saved state, if there is one, and drop what was logged after it: it comes again.

        Raises
        ------
        ValueError
            If the state is damaged, or that of another network.
        """
        path = self.folder / "state.pt"
        if path.exists():
            try:
                state = torch.load(path, map_location="cpu", weights_only=True)
                module.load_state_dict(state.pop("module"))
                optimizer.load_state_dict(state.pop("optimizer"))
                vars(self).update({name: state[name] for name in _COUNTERS if name in state})
            except Exception as error:  # torch raises whatever it likes on damaged files
                what = f"{path} is damaged, or of another network ({type(error).__name__})"
                how = f"--from {self.folder / 'last.safetensors'} and another --out"
                raise ValueError(f"{what}: fine-tune from the weights instead, with {how}") from error
        for name in ("log.csv", "validation.csv"):
            self._write(name, [])

    def save(self, network: MAUNet, module: nn.Module, optimizer: torch.optim.Optimizer) -> None:
        """Write the state to resume from, ``last.safetensors`` and, if it is, ``best.safetensors``."""
        state = {"module": module.state_dict(), "optimizer": optimizer.state_dict()}
        with atomic_path(self.folder / "state.pt") as part:
            try:
                torch.save(state | {name: getattr(self, name) for name in _COUNTERS}, part)
            except RuntimeError as error:  # torch's word for it
                raise OSError(f"state.pt cannot be written to {self.folder} ({error}): disk full?") from error
        save_model(network, self.folder / "last.safetensors", self.record())
        if self.best_at == self.step:
            save_model(network, self.folder / "best.safetensors", self.record(self.best_score))

    def record(self, score: float | None = None) -> dict[str, Any]:
        """Return what stands beside a weight file: configuration, budget, versions, score."""
        state = {"steps": self.step, "minutes": round(self.minutes, 2), f"{self.split}_f1": score}
        where = {"torch": torch.__version__, "machine": f"{platform.machine()}, {platform.system()}"}
        return {"training": self.config.to_dict(), **state, "processes": self.processes, **where}

    def log(self, row: dict[str, float]) -> dict[str, float]:
        """Append a row to ``log.csv``, mean loss parts since the last one and `row`, and return it."""
        row = pd.DataFrame(self.parts).mean().to_dict() | row
        self.parts.clear()
        self._write("log.csv", [row])
        return row

    def record_validation(self, row: dict[str, float]) -> None:
        """Append a row to ``validation.csv`` and remember whether its F1 is the best so far."""
        self._write("validation.csv", [row])
        if self.step == 0:
            self.start_score = row["f1"]
        self.validated_at = self.step
        if row["f1"] > self.best_score:
            self.best_score, self.best_at = row["f1"], self.step

    def _write(self, name: str, rows: list[dict[str, float]]) -> None:
        """Write a log anew: what it holds up to this step, and `rows`, whose columns may be new."""
        path, at = self.folder / name, {"step": self.step, "minutes": self.minutes}
        tables = [_read_log(path).loc[lambda before: before["step"] <= self.step]] if path.exists() else []
        tables += [pd.DataFrame([at | row]) for row in rows]
        if self.writer and tables:
            write_table(path, pd.concat(tables), "%.7g")

    def plot_curve(self) -> None:
        """Draw ``curve.png`` from the logs."""
        from matplotlib import pyplot as plt

        from maunet_lite.figures import learning_curve

        log, validation = (self.folder / name for name in ("log.csv", "validation.csv"))
        if log.exists() and len(table := _read_log(log)) > 1:
            figure = learning_curve(table, _read_log(validation) if validation.exists() else None)
            with atomic_path(self.folder / "curve.png") as part:
                figure.savefig(part, dpi=90, bbox_inches="tight")
            plt.close(figure)  # a notebook would show it


def _read_log(path: Path) -> pd.DataFrame:
    """Return a log; one without a column of numbers of steps is damaged, and begins anew."""
    with suppress(ValueError):  # so are pandas' errors
        table = pd.read_csv(path, encoding_errors="replace")
        if "step" in table and (table.empty or pd.api.types.is_numeric_dtype(table["step"])):
            return table
    warnings.warn(f"{path} was damaged: it begins anew at this step", stacklevel=2)
    return pd.DataFrame({"step": []})


def run_settings(folder: Path) -> dict[str, Any]:
    """Return the settings of the run in a folder, from ``config.json`` or, without it, ``last.json``.

    Raises
    ------
    ValueError
        If neither is there, or the one that is there is damaged.
    """
    if (folder / "config.json").exists():
        return read_json(folder / "config.json")
    with suppress(FileNotFoundError, KeyError, TypeError):
        return dict(read_json(folder / "last.json")["record"]["training"])
    what = "but neither config.json nor last.json says with which settings it was made"
    raise ValueError(f"{folder} holds a run, {what}: restore config.json, or choose another --out")


def holds_run(folder: Path) -> bool:
    """Tell whether a training left anything in `folder`; a configuration alone is no run."""
    names = ("state.pt", "log.csv", "last.safetensors", "best.safetensors")
    return any((folder / name).exists() for name in names)


def changed_settings(before: dict[str, Any], config: TrainConfig) -> list[str]:
    """Return, in words, how `config` differs from the record of a run, in what a resumed run may not change.

    Examples
    --------
    >>> changed_settings(TrainConfig(minutes=1).to_dict(), TrainConfig(minutes=2, seed=3))
    ['seed 0, now 3']
    """
    before, now = (json.loads(json.dumps(record)) for record in (before, config.to_dict()))
    for record in (before, now):
        record |= record.pop("augmentation", {}) | record.pop("targets", {})
    # The network is that of the weights to start from, if there are any.
    leave = _MAY_CHANGE | ({"model", "network", *HEADS} if config.start_from else set())
    for name in ("data", "unlabelled", "start_from"):
        if now[name] and before.get(name) and Path(now[name]).resolve() == Path(before[name]).resolve():
            leave.add(name)  # written in another way
    changed = [name for name in now if name not in leave and before.get(name, now[name]) != now[name]]
    return [f"{name} {before[name]!r}, now {now[name]!r}" for name in changed]


@dataclass
class StopRequest:
    """Set by Ctrl-C; the loop stops after the step it is in."""

    requested: bool = False  # no `threading.Event`: two signals at once would wait for its lock for ever


@contextmanager
def interruptible() -> Iterator[StopRequest]:
    """Turn the first Ctrl-C (or SIGTERM) into a request to stop; a second Ctrl-C stops at once.

    A scheduler signals every process, and a launcher passes the signal on to the same processes: what comes
    right after the first is no second request, and SIGTERM never is.
    """
    stop, asked = StopRequest(), 0.0

    def ask(signum: int, frame: object) -> None:
        nonlocal asked
        if not stop.requested:
            stop.requested, asked = True, time.monotonic()
        elif signum == signal.SIGINT and time.monotonic() - asked > AGAIN:
            raise KeyboardInterrupt

    signals = (signal.SIGINT, signal.SIGTERM) if threading.current_thread() is threading.main_thread() else ()
    before = {s: signal.signal(s, ask) for s in signals}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
