"""Run the course, or some of its notebooks, without anybody watching.

Each notebook runs in a process of its own (`process`) into a new folder; nothing in ``notebooks/``
changes. All mistakes that can be known beforehand (a notebook that does not exist, a parameter that a
notebook does not have) are said before anything starts: papermill itself would accept a misspelt parameter in
silence.
"""

import os
import threading
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any

from tqdm import tqdm

from maunet_lite.course.publishing import sources
from maunet_lite.course.running.process import execute
from maunet_lite.course.running.profiles import PROFILES, parameters_for
from maunet_lite.course.running.report import NotebookRun, Report, write_report


def run_notebooks(
    names: list[str] | None = None, profile: str = "quick", parameters: dict[str, Any] | None = None,
    out: str | Path = "out/notebooks", jobs: int = 1, timeout: float | None = None,
    folder: str | Path | None = None, progress: bool = True,
) -> Report:  # fmt: skip
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
        files that a notebook wrote in ``files/NN_name``, and ``report.html`` and ``report.json``. The link
        ``latest`` beside it leads to the newest.
    jobs : int
        How many notebooks run side by side; the processor's cores are shared among them.
    timeout : float, optional
        Minutes after which a notebook is stopped; the profile's limit by default.
    folder : path, optional
        The folder ``notebooks`` of another course.
    progress : bool
        Show a progress bar.

    Returns
    -------
    Report
        ``report.ok`` is true if every notebook ran to its end. An interrupt (Ctrl-C) ends the kernels, keeps
        what there is, and is said in the report.

    Raises
    ------
    NotebookError
        For an unknown notebook or parameter, or a notebook without a cell tagged ``parameters``; before
        anything runs.
    ValueError
        For an unknown profile.
    """
    parameters = parameters or {}
    chosen = sources.select(names, sources.course_folder(folder) if folder else None)
    plans = plan(chosen, profile, parameters)
    target = Path(out).resolve() / f"{profile}-{datetime.now():%Y%m%d-%H%M%S-%f}"
    target.mkdir(parents=True)
    runs = [NotebookRun(path.stem, path, values) for path, values in plans.items()]
    report = Report(profile, target, parameters, jobs, runs)
    limit = timeout if timeout is not None else PROFILES[profile].limit_minutes
    try:
        _run_all(report, limit * 60, progress)
    except KeyboardInterrupt:
        report.interrupted = True
    finally:
        report.minutes = round((datetime.now() - report.started).total_seconds() / 60, 3)
        write_report(report)
        point_at_latest(target)
    return report


def point_at_latest(folder: Path) -> None:
    """Let ``latest`` beside a folder lead to it, where links can be made."""
    link, new = folder.with_name("latest"), folder.with_name(f".latest-{os.getpid()}")
    with suppress(OSError):  # Windows without the right to link, or something of this name that is no link
        new.symlink_to(folder.name, target_is_directory=True)
        new.replace(link)
    new.unlink(missing_ok=True)


def plan(chosen: list[Path], profile: str, given: dict[str, Any]) -> dict[Path, dict[str, Any]]:
    """Return the parameters to put into each notebook, or refuse.

    What a notebook says itself is not put into it: a run of ``quick`` executes what stands there.

    Raises
    ------
    NotebookError
        Names every parameter in `given` that some notebook does not declare, with what may have been meant.
    """
    plans, problems = {}, []
    for path in chosen:
        declared = sources.declared_parameters(path)
        problems += [_refusal(path.stem, name, value, declared) for name, value in given.items()]
        wanted = parameters_for(profile, path.stem) | given
        plans[path] = {name: value for name, value in wanted.items() if declared.get(name, value) != value}
    if problems := list(filter(None, problems)):
        raise sources.NotebookError("nothing was run:\n  " + "\n  ".join(problems))
    return plans


def _refusal(notebook: str, name: str, value: Any, declared: dict[str, Any]) -> str:
    """Say why a notebook cannot take a value; an empty text if it can.

    A value must be of the kind of the parameter's default, those of a list of the kind of one in that list:
    None, an empty list and what is no literal accept everything, a fraction may be a whole number.
    """
    if name not in declared:
        hint = sources.suggestion(name.upper(), declared)
        return f"{notebook} has no parameter {name}: {hint}it has {', '.join(declared) or 'none'}"
    default = declared[name]
    if _fits(value, default):
        return ""
    hint = f": write {int(value)}" if isinstance(value, float) and value.is_integer() else ""
    return f"{notebook}: {name} is {type(default).__name__} (default {default!r}), got {value!r}{hint}"


def _fits(value: Any, default: Any) -> bool:
    """Tell whether a value is of the kind of a default."""
    if value is None or default is None or default is ...:
        return True
    if isinstance(default, (list, tuple)):
        inside = isinstance(value, (list, tuple))
        return inside and (not default or all(any(_fits(v, d) for d in default) for v in value))
    return type(value) in ((int, float) if isinstance(default, float) else (type(default),))


def _run_all(report: Report, limit: float, progress: bool) -> None:
    """Keep so many notebooks running until all have; end their kernels on an interrupt."""
    interrupted = threading.Event()

    def stop(seconds: float) -> str | None:
        return "interrupted" if interrupted.is_set() else "timeout" if seconds > limit else None

    width = max(len(run.name) for run in report.runs)
    how = {"unit": "notebook", "disable": None if progress else True, "leave": False}
    with ThreadPoolExecutor(report.jobs) as pool:
        futures = [pool.submit(execute, run, report.folder, report.jobs, stop) for run in report.runs]
        try:
            for future in tqdm(as_completed(futures), total=len(futures), **how):
                line = future.result().line(width)
                if progress:
                    tqdm.write(line)
        except BaseException:
            interrupted.set()
            pool.shutdown(cancel_futures=True)
            raise
