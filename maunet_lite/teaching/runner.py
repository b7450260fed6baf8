"""Run the course, or some of its notebooks, without anybody watching.

Each notebook runs in a process of its own (`worker`) into a new folder; nothing in ``notebooks/`` changes. All
mistakes that can be known beforehand (a notebook that does not exist, a parameter that a notebook does not
have) are said before anything starts, because papermill itself would accept a misspelt parameter in silence.
"""

from __future__ import annotations

import difflib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

from .profiles import PROFILES, parameters_for
from .report import NotebookRun, Report, write_report
from .sources import Declared, NotebookError, course_folder, declared_parameters, load, select

_POLL_SECONDS = 0.2
_GRACE_SECONDS = 20  # for a worker whose kernel was ended: to save what there is


def run_notebooks(
    names: list[str] | None = None,
    profile: str = "quick",
    parameters: dict[str, Any] | None = None,
    out: str | Path = "out/notebooks",
    jobs: int = 1,
    timeout: float | None = None,
    folder: str | Path | None = None,
    progress: bool = True,
    plans: dict[Path, dict[str, Any]] | None = None,
) -> Report:
    """Execute notebooks headless and write a report.

    Parameters
    ----------
    names : list of str, optional
        Numbers, beginnings of names or paths; the whole course by default.
    profile : str
        How big: a key of `PROFILES`. Only values for parameters that a notebook declares are passed to it.
    parameters : dict, optional
        Values that win over the profile's. Every chosen notebook must declare each of them.
    out : path
        A folder ``PROFILE-TIME`` is made in it, with ``NN_name.ipynb`` and ``NN_name.html`` per notebook, the
        files that a notebook wrote in ``files/NN_name``, and ``report.html`` and ``report.json``. The file ``latest.txt`` beside it
        names the newest folder.
    jobs : int
        How many notebooks run side by side; the processor's cores are shared among them.
    timeout : float, optional
        Minutes after which a notebook is stopped; the profile's limit by default.
    folder : path, optional
        The folder ``notebooks`` of another course.
    progress : bool
        Show a progress bar.
    plans : dict, optional
        The exact parameters of each notebook, instead of the profile's.

    Returns
    -------
    Report
        ``report.ok`` is true if every notebook ran to its end. An interrupt (Ctrl-C) ends the kernels, keeps what there
        is, and is said in the report.

    Raises
    ------
    NotebookError
        For an unknown notebook or parameter, or a notebook without a cell tagged ``parameters``; before anything runs.
    ValueError
        For an unknown profile.
    """
    parameters_for(profile, "")  # refuses an unknown profile
    chosen = select(list(names or []), course_folder(folder) if folder else None)
    plans = plan(chosen, profile, parameters or {}) if plans is None else plans
    target = _new_folder(Path(out), profile)
    report = Report(profile=profile, folder=target, parameters=parameters or {}, jobs=jobs)
    report.runs = [NotebookRun(name=path.stem, source=path, parameters=plans[path]) for path in chosen]
    limit = timeout if timeout is not None else PROFILES[profile].limit_minutes
    try:
        with _interruptible():
            _run_all(report, jobs, limit * 60, progress)
    except KeyboardInterrupt:
        report.interrupted = True
    finally:
        report.seconds = time.time() - report.started.timestamp()
        write_report(report)
        (target.parent / "latest.txt").write_text(target.name + "\n", encoding="utf-8")
    return report


def plan(chosen: list[Path], profile: str, given: dict[str, Any]) -> dict[Path, dict[str, Any]]:
    """Return the parameters of each notebook, or refuse.

    Raises
    ------
    NotebookError
        Names every parameter in `given` that some notebook does not declare, with what may have been meant.
    """
    plans, problems = {}, []
    for path in chosen:
        declared = declared_parameters(path, load(path))
        own = PROFILES[profile].notebooks.get(path.stem[:2], {})
        problems += [_refusal(path, name, declared) for name in [*given, *own] if name not in declared]
        problems += [
            f"{path.stem}: {name} is {type(declared[name].default).__name__} "
            f"(default {declared[name].default!r}), got {value!r}"
            for name, value in given.items()
            if name in declared and not _fits(value, declared[name])
        ]
        values = {**parameters_for(profile, path.stem), **given}
        plans[path] = {name: value for name, value in values.items() if name in declared}
    if problems:
        raise NotebookError("nothing was run:\n  " + "\n  ".join(dict.fromkeys(problems)))
    return plans


def _refusal(path: Path, name: str, declared: dict[str, Declared]) -> str:
    close = difflib.get_close_matches(name.upper(), list(declared), 1, 0.5)
    hint = f"did you mean {close[0]}? " if close else ""
    return f"{path.stem} has no parameter {name}: {hint}it has {', '.join(declared) or 'none'}"


def _fits(value: Any, declared: Declared) -> bool:
    """Tell whether a value is of the kind of the default; None and non-literals accept everything."""
    if not declared.literal or declared.default is None or value is None:
        return True
    numbers = (int, float)
    if isinstance(declared.default, bool) or isinstance(value, bool):
        return isinstance(declared.default, bool) and isinstance(value, bool)
    if isinstance(declared.default, numbers):
        return isinstance(value, numbers)
    if isinstance(declared.default, (list, tuple)):
        return isinstance(value, (list, tuple))
    return isinstance(value, type(declared.default))


def _new_folder(out: Path, profile: str) -> Path:
    stamp = f"{profile}-{datetime.now():%Y%m%d-%H%M%S}"
    for suffix in ["", *(f"-{i}" for i in range(2, 100))]:
        target = out.resolve() / (stamp + suffix)
        try:
            target.mkdir(parents=True)
        except FileExistsError:
            continue
        return target
    raise FileExistsError(f"too many runs at the same second in {out}")


def _run_all(report: Report, jobs: int, limit: float, progress: bool) -> None:
    """Keep `jobs` workers busy until every notebook has run; end them all on an interrupt."""
    from tqdm import tqdm

    waiting, running = list(report.runs), []
    width = max(len(run.name) for run in report.runs)
    bar = tqdm(total=len(waiting), unit="notebook", disable=None if progress else True, leave=False)
    try:
        while waiting or running:
            while waiting and len(running) < max(1, jobs):
                running.append(_Worker(waiting.pop(0), report, jobs, limit))
            bar.set_description(", ".join(worker.run.name[:2] for worker in running), refresh=False)
            for worker in [worker for worker in running if worker.finished()]:
                running.remove(worker)
                bar.update()
                if progress:
                    bar.write(worker.run.line(width))
            bar.refresh()
            time.sleep(_POLL_SECONDS)
    except KeyboardInterrupt:
        for worker in running:
            worker.stop("interrupted")
        for worker in running:
            while not worker.finished():
                time.sleep(_POLL_SECONDS)
            bar.write(worker.run.line(width))
        raise
    finally:
        bar.close()


class _Worker:
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
        job = {
            "source": str(run.source), "executed": str(run.executed), "html": str(run.html), "cwd": str(files),
            "parameters": run.parameters, "result": str(self.result), "parent": os.getpid(),
        }  # fmt: skip
        self.job.write_text(json.dumps(job), encoding="utf-8")
        with self.log.open("w", encoding="utf-8") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "maunet_lite.teaching.worker", str(self.job)],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=_environment(report.folder, jobs),
                start_new_session=True,
            )  # fmt: skip

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
        import psutil

        try:
            return psutil.Process(self.process.pid).children(recursive=True)
        except psutil.NoSuchProcess:
            return []

    def _end_kernels(self) -> None:
        import psutil

        for child in self._children():
            try:
                child.kill()
            except psutil.NoSuchProcess:
                pass

    def _measure(self) -> None:
        """Keep the peak of the memory that the kernel and its children hold together."""
        import psutil

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
    environment["MAUNET_HEADLESS"] = "1"
    package = str(Path(__file__).resolve().parents[2])
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, [package, environment.get("PYTHONPATH")]))
    return environment


@contextmanager
def _interruptible() -> Iterator[None]:
    """Let a closed terminal and a polite kill end a run as Ctrl-C does: with a report."""

    def interrupt(number: int, frame: Any) -> None:
        raise KeyboardInterrupt

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    names = [name for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]
    before = {name: signal.signal(getattr(signal, name), interrupt) for name in names}
    try:
        yield
    finally:
        for name, handler in before.items():
            signal.signal(getattr(signal, name), handler)


__all__ = ["NotebookError", "Report", "plan", "run_notebooks"]
