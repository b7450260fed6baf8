"""One notebook on its way, seen from the runner: its process, its time limit, its memory, its result."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil

from maunet_lite.course.running.report import NotebookRun, Report

_GRACE_SECONDS = 20  # for a worker whose kernel was ended: to save what there is


class Worker:
    """One notebook on its way: its process, its clock and its memory."""

    def __init__(self, run: NotebookRun, report: Report, jobs: int, limit: float) -> None:
        self.run, self.limit = run, limit
        self.started = time.monotonic()
        self.deadline: float | None = None  # set when the kernel was ended: then the worker itself must end
        self.peaks: dict[int, int] = {}
        files = report.folder / "files" / run.name
        files.mkdir(parents=True)
        run.executed, run.html = report.folder / f"{run.name}.ipynb", report.folder / f"{run.name}.html"
        self.result = files.parent / f"{run.name}.result.json"
        self.job = files.parent / f"{run.name}.job.json"
        self.log = report.folder / f"{run.name}.log"
        self.job.write_text(json.dumps(self._describe(files)), encoding="utf-8")
        with self.log.open("w", encoding="utf-8") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "maunet_lite.course.running.worker", str(self.job)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=_environment(report.folder, jobs),
                start_new_session=True,  # Ctrl-C is for the runner, which then ends its workers in order
            )

    def _describe(self, files: Path) -> dict[str, Any]:
        return {
            "source": str(self.run.source),
            "executed": str(self.run.executed),
            "html": str(self.run.html),
            "cwd": str(files),
            "parameters": self.run.parameters,
            "result": str(self.result),
            "parent": os.getpid(),
        }

    def finished(self) -> bool:
        """Measure, enforce the time limit, and collect the result once the process has ended."""
        self._measure()
        now = time.monotonic()
        if self.process.poll() is None:
            if self.deadline is None and now - self.started > self.limit:
                self.stop("timeout")
            elif self.deadline is not None:
                self._end_kernels()
                if now > self.deadline:
                    self.process.kill()
            return False
        self._collect()
        return True

    def stop(self, status: str) -> None:
        """End the kernel; the worker then saves what there is and ends."""
        self.run.status, self.deadline = status, time.monotonic() + _GRACE_SECONDS
        self._end_kernels()

    def _children(self) -> list[Any]:
        try:
            return psutil.Process(self.process.pid).children(recursive=True)
        except psutil.NoSuchProcess:
            return []

    def _end_kernels(self) -> None:
        for child in self._children():
            try:
                child.kill()
            except psutil.NoSuchProcess:
                pass

    def _measure(self) -> None:
        """Keep the peak of the memory that the kernel and its children hold together."""
        total = 0
        for child in self._children():
            try:
                total += child.memory_info().rss
            except psutil.Error:
                continue
        self.run.peak_memory_mib = max(self.run.peak_memory_mib, total / 2**20)

    def _collect(self) -> None:
        """Fill in the result, from the worker's file if it could still write one."""
        run = self.run
        run.minutes = (time.monotonic() - self.started) / 60
        try:
            result = json.loads(self.result.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            result = {"status": "died", "error": {"name": "Died", "message": _last_line(self.log)}}
        stopped = run.status if run.status in ("timeout", "interrupted") else None
        run.status = stopped or result["status"]
        run.error, run.cell = result.get("error"), result.get("cell")
        run.cell_source, run.records = result.get("source", ""), result.get("records", {})
        if stopped == "timeout":
            run.error = {"name": "Timeout", "message": f"stopped after {self.limit / 60:g} minutes"}
        elif stopped:
            run.error = {"name": "Interrupted", "message": "stopped by Ctrl-C"}
        self._tidy()

    def _tidy(self) -> None:
        for path in (self.job, self.result):
            path.unlink(missing_ok=True)
        if self.run.status == "ok":
            self.log.unlink(missing_ok=True)
        files = self.job.parent / self.run.name
        for empty in (files, files.parent):
            if not any(empty.iterdir()):
                empty.rmdir()


def _last_line(log: Path) -> str:
    lines = [line for line in log.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()]
    return lines[-1] if lines else "its process ended without a word"


def _environment(folder: Path, jobs: int) -> dict[str, str]:
    """Return the environment of a worker: a share of the cores, no display, caches that can be written."""
    environment = dict(os.environ)
    threads = str(max(1, (os.cpu_count() or 1) // max(1, jobs)))
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        environment.setdefault(name, threads)
    environment["MPLBACKEND"] = "module://matplotlib_inline.backend_inline"
    environment.setdefault("MPLCONFIGDIR", str(folder.parent / ".cache" / "matplotlib"))
    environment["PYDEVD_DISABLE_FILE_VALIDATION"] = "1"
    package = str(Path(__file__).resolve().parents[3])
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, [package, environment.get("PYTHONPATH")]))
    return environment
