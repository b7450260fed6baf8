"""What a run of notebooks came to: a record per notebook, as JSON for programs and HTML for people."""

import json
import os
import platform
import subprocess
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path
from textwrap import indent
from typing import Any

import psutil

from maunet_lite import __version__
from maunet_lite.course.publishing.pages import render
from maunet_lite.data import write_text

_MARKS = {"ok": "✔", "failed": "✘", "died": "✘", "timeout": "⏱", "interrupted": "■", "not run": "–"}


@dataclass
class NotebookRun:
    """One notebook of a run.

    Attributes
    ----------
    name, source, parameters
        Which notebook, and the values that it is given.
    status : str
        "ok", "failed" (a cell raised), "died" (the kernel went away), "timeout", "interrupted" or "not run".
    minutes : float
        Wall time with the start of the kernel.
    busy_minutes : float
        How much of it other programs kept the notebook from the cores: that does not count against limits.
    peak_memory_mib : int
        Highest resident memory of the kernel and its children together.
    peak_gpu_mib : int
        Most memory in use on one GPU meanwhile, whoever used it; 0 without an NVIDIA driver.
    cell : int or None
        The failing cell, as numbered in brackets beside it in the executed notebook; `cell_source` are its
        first lines.
    error : str
        Kind and message, such as ``"KeyError: 'b'"``.
    records : dict
        What the notebook handed over with `maunet_lite.course.record`.
    executed, html : Path or None
        The executed notebook and its page, if there are any.
    """

    name: str
    source: Path
    parameters: dict[str, Any]
    status: str = "not run"
    minutes: float = 0.0
    busy_minutes: float = 0.0
    peak_memory_mib: int = 0
    peak_gpu_mib: int = 0
    cell: int | None = None
    cell_source: str = ""
    error: str = ""
    records: dict[str, Any] = field(default_factory=dict)
    executed: Path | None = None
    html: Path | None = None

    def line(self, width: int = 0) -> str:
        """Return one line for the console, and if the notebook failed, what failed below it."""
        text = f"{_MARKS[self.status]} {self.name:{width}}  {self.status:9} {self.minutes:5.1f} min  "
        gpu = f", {self.peak_gpu_mib} of a GPU" if self.peak_gpu_mib else ""
        text += f"{self.peak_memory_mib:6} MiB{gpu}{self.busy()}"
        return f"{text}\n{indent(self.failure(), '    ')}" if self.error else text

    def busy(self) -> str:
        """Return a hint if other programs kept the notebook from the cores for a good part of its time."""
        if self.busy_minutes <= 0.3 * self.minutes:
            return ""
        return f" (the machine is busy: for {self.busy_minutes:.1f} of them others had its cores)"

    def failure(self) -> str:
        """Return where the notebook stopped and why, or an empty text."""
        where = f"cell [{self.cell}]:\n{indent(self.cell_source, '    ')}\n" if self.cell else ""
        return where + self.error


@dataclass
class Report:
    """A whole run; `ok` if every notebook ran to its end."""

    profile: str
    folder: Path
    parameters: dict[str, Any]
    jobs: int = 1
    runs: list[NotebookRun] = field(default_factory=list)
    started: datetime = field(default_factory=datetime.now)
    minutes: float = 0.0
    interrupted: bool = False

    @property
    def ok(self) -> bool:
        """Whether every notebook ran to its end."""
        return not self.interrupted and all(run.status == "ok" for run in self.runs)

    def summary(self) -> str:
        """Return one line: how many ran, how many did not, how long it took, where the report is."""
        good = sum(run.status == "ok" for run in self.runs)
        ran = f"{good} of {len(self.runs)} notebooks ran to the end in {self.minutes:.1f} min"
        return f"{'interrupted: ' if self.interrupted else ''}{ran}; report: {self.folder / 'report.html'}"


def write_report(report: Report) -> None:
    """Write ``report.json`` and ``report.html`` into the folder of the run."""
    data = {"ok": report.ok, **asdict(report), "machine": machine()}
    text = json.dumps(data, indent=1, ensure_ascii=False, default=_to_text)
    page = render("report.html.j2", report=report, marks=_MARKS, machine=data["machine"])
    for name, content in (("report.json", text), ("report.html", page)):
        write_text(report.folder / name, content + "\n")


def _to_text(value: Path | datetime) -> str:
    """Name a file relative to the folder of the run, which may be moved."""
    return value.name if isinstance(value, Path) else value.isoformat(timespec="seconds")


def machine() -> dict[str, Any]:
    """Return what a reader of a table of minutes and memory asks for: system, versions, cores, memory."""
    return {
        "system": platform.platform(),
        "python": platform.python_version(),
        "maunet_lite": __version__,
        "cores": os.cpu_count(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "gpu": ", ".join(ask_gpus("name")) or "none",
    }


def ask_gpus(what: str) -> list[str]:
    """Return what NVIDIA's driver says of each GPU, as ``nvidia-smi --help-query-gpu`` lists it.

    Asking torch would load it, and take memory of the GPU.
    """
    command = ["nvidia-smi", f"--query-gpu={what}", "--format=csv,noheader,nounits"]
    with suppress(OSError, subprocess.SubprocessError):  # no such driver, or none that works
        return subprocess.check_output(command, text=True, timeout=5).splitlines()
    return []
