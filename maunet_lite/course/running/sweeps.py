"""One notebook, many settings, one table: each combination of a grid is a headless run of its own.

A sweep can be stopped and started again: what has ended well with the same notebook and the same parameters
is not done again. On a cluster (`scale.open_pool`) combinations are tasks, one GPU per worker.
"""

import hashlib
import json
import math
from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime
from itertools import product
from pathlib import Path
from typing import Any

import pandas as pd
import yaml
from tqdm import tqdm

from maunet_lite import export
from maunet_lite.course.publishing.sources import select, source_hash
from maunet_lite.course.running.report import NotebookRun, machine
from maunet_lite.course.running.runner import plan, run_notebooks
from maunet_lite.data import write_text
from maunet_lite.postprocessing import read_json
from maunet_lite.scale import one_run_in, open_pool

Grid = Mapping[str, Any] | list[Mapping[str, Any]] | str | Path
TABLE = "sweep.csv"
MOST = 10_000  # combinations


def read_grid(grid: Grid) -> list[dict[str, Any]]:
    """Return every combination of a grid.

    Parameters
    ----------
    grid : dict, list of dict or path
        Parameter → list of values, or one value: all combinations. A list of such grids: one after another,
        for comparisons that are no full product. A path names a YAML file that holds either.

    Returns
    -------
    list of dict
        The last parameter varies fastest. None occurs twice.

    Raises
    ------
    ValueError
        If there is nothing to combine, or the file holds something else.

    Examples
    --------
    >>> read_grid({"PROXY": [True, False], "SEED": [1, 2], "STEPS": 30})[:2]
    [{'PROXY': True, 'SEED': 1, 'STEPS': 30}, {'PROXY': True, 'SEED': 2, 'STEPS': 30}]
    >>> read_grid([{"METHOD": "supervised"}, {"METHOD": "cr", "WEIGHT": [0.1, 1.5]}])[1:]
    [{'METHOD': 'cr', 'WEIGHT': 0.1}, {'METHOD': 'cr', 'WEIGHT': 1.5}]
    """
    where, combinations = "the grid", []
    if isinstance(grid, (str, Path)):
        where = str(grid)
        try:
            text = Path(grid).read_text(encoding="utf-8")
            if any(isinstance(event, yaml.AliasEvent) for event in yaml.parse(text)):
                # A few lines can mean GiB.
                raise ValueError("it refers to parts of itself, *name: write them out")
            grid = yaml.safe_load(text)
        except (yaml.YAMLError, ValueError, RecursionError) as error:
            raise ValueError(f"{where} is no YAML: {' '.join(str(error).split())}") from error
    for part in grid if isinstance(grid, list) and grid else [grid]:
        names = list(part) if isinstance(part, Mapping) else []
        if not names or not all(isinstance(name, str) and name.isidentifier() for name in names):
            raise ValueError(f"{where} should say parameter: [values], as SEED: [1, 2]; got {str(grid)[:80]}")
        axes = [value if isinstance(value, (list, tuple)) else [value] for value in part.values()]
        if empty := [name for name, axis in zip(names, axes, strict=True) if not axis]:
            raise ValueError(f"{where} has no value for {empty[0]}: give one or more, or leave it out")
        if (count := math.prod(map(len, axes))) > MOST:
            raise ValueError(f"{where} asks for {count:,} runs; at most {MOST:,} are made: give fewer values")
        combinations += [dict(zip(names, map(_as_number, values), strict=True)) for values in product(*axes)]
    return [c for i, c in enumerate(combinations) if c not in combinations[:i]]


def _as_number(value: Any) -> Any:
    """Turn "1e-3" into a number, which YAML takes for a text."""
    if isinstance(value, str) and value[:1] in "+-.0123456789":
        with suppress(ValueError):
            return float(value)
    return value


def run_sweep(
    notebook: str | Path, grid: Grid, out: str | Path, *, scheduler: str | None = None,
    workers: int | None = None, profile: str = "smoke", timeout: float | None = None, progress: bool = True,
) -> pd.DataFrame:  # fmt: skip
    """Run a notebook once for each combination of a grid, and put what it records into one table.

    Parameters
    ----------
    notebook : str or path
        A number, a name or a path, as in `run_notebooks`.
    grid : dict, list of dict or path
        See `read_grid`.
    out : path
        A folder: ``sweep.csv`` is written anew after each run, ``sweep.json`` says how it was made, ``runs``
        holds the executed notebooks and their reports.
    scheduler, workers
        See `scale.open_pool`: without them, one run after another.
    profile : str
        Gives all parameters that the grid does not name.
    timeout : float, optional
        Minutes per run; the profile's limit by default.
    progress : bool
        Show a bar and a line per run.

    Returns
    -------
    DataFrame
        One row per combination: its parameters, ``status`` as in `NotebookRun`, ``minutes``,
        ``peak_memory_mib``, what the notebook recorded (of a dictionary one column per key), the executed
        ``notebook`` and the ``error``, if there was one.

    Raises
    ------
    NotebookError, ValueError
        For an unknown notebook, parameter, profile or kind of value; before anything runs.
    BlockingIOError
        If another sweep writes into `out`.
    """
    (source,) = select([str(notebook)])
    combinations = plan_sweep(source, grid, profile)
    out = Path(out).resolve()
    with one_run_in(out):
        about = {"notebook": source.name, "sha256": source_hash(source), "profile": profile}
        about |= {"machine": machine(), "combinations": list(combinations.values())}
        about["started"] = f"{datetime.now():%Y-%m-%d %H:%M}"
        write_text(out / "sweep.json", json.dumps(about, indent=1) + "\n")
        results = {key: known for key in combinations if (known := result_of(key, out))}
        ended_well = [key for key, run in results.items() if run.status == "ok"]
        tasks = [(key, values) for key, values in combinations.items() if key not in ended_well]
        table = write_table(out / TABLE, combinations, results)
        if not tasks:
            return table
        options = {"source": source, "profile": profile, "out": out, "timeout": timeout}
        bar = {"total": len(tasks), "unit": "run", "disable": None if progress else True, "leave": False}
        with open_pool(scheduler, workers, gpu_per_worker=True) as pool:
            for index, run in tqdm(pool.map(run_combination, tasks, **options), **bar):
                if isinstance(run, Exception):
                    run = NotebookRun(source.stem, source, {}, "died", error=f"{type(run).__name__}: {run}")
                key, values = tasks[index]
                results[key] = run
                table = write_table(out / TABLE, combinations, results)
                if progress:
                    settings = ", ".join(f"{name}={value}" for name, value in values.items())
                    tqdm.write(f"{settings}\n  {run.line()}")
        return table


def plan_sweep(source: Path, grid: Grid, profile: str) -> dict[str, dict[str, Any]]:
    """Return the values of each combination, or refuse the sweep as `course.running.runner.plan` does.

    Its key names what a run depends on: the notebook, the profile and all parameters.
    """
    digest, combinations = source_hash(source), {}
    for values in read_grid(grid):
        identity = [digest, profile, plan([source], profile, values)[source]]
        text = json.dumps(identity, sort_keys=True, default=str)
        combinations.setdefault(hashlib.sha256(text.encode()).hexdigest()[:16], values)
    return combinations


def run_combination(
    combination: tuple[str, dict[str, Any]], source: Path, profile: str, out: Path, timeout: float | None
) -> NotebookRun:
    """Run one combination (key, values) in a folder of its own and return its result: a sweep's task."""
    key, values = combination
    how = {"out": out / "runs" / key, "timeout": timeout, "progress": False}
    if run_notebooks([str(source)], profile, values, **how).interrupted:
        raise KeyboardInterrupt
    return result_of(key, out)


def result_of(key: str, out: Path) -> NotebookRun | None:
    """Return what the newest report of a combination says, if it was run; its files relative to `out`."""
    reports = sorted((out / "runs" / key).glob("*-*/report.json"))
    try:
        run = NotebookRun(**read_json(reports[-1])["runs"][0])
        run.executed = run.executed and (reports[-1].parent / run.executed).relative_to(out)
    except (ValueError, LookupError, TypeError):  # there is none, or it is damaged: the run is done again
        return None
    return run


def write_table(
    path: Path, combinations: Mapping[str, dict[str, Any]], results: Mapping[str, NotebookRun]
) -> pd.DataFrame:
    """Write and return one row per combination that has a result, in the order of the grid."""
    done = [key for key in combinations if key in results]
    runs = [results[key] for key in done]
    values = pd.DataFrame([combinations[key] for key in done])
    measured = pd.DataFrame(map(vars, runs), columns=["status", "minutes", "peak_memory_mib"])
    records = pd.json_normalize([run.records for run in runs], sep=" ", max_level=1)  # a column for each key
    taken = {*values, *measured}
    records = records.rename(columns=lambda name: f"recorded {name}" if name in taken else name)
    ends = [(str(run.executed or ""), " ".join(run.failure().split())) for run in runs]
    ends = pd.DataFrame(ends, columns=["notebook", "error"])
    table = pd.concat([values, measured, records, ends], axis=1)
    table = table.map(lambda value: json.dumps(value) if isinstance(value, (list, tuple, dict)) else value)
    export.write_table(path, table)
    return table
