"""One notebook, many settings, one table: each combination of a grid is a headless run of its own.

A sweep can be stopped and started again: what has ended well with the same notebook and the same parameters
is not done again. On a cluster (`scale.open_pool`) combinations are tasks, one GPU per worker.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from maunet_lite.course.publishing.sources import select, source_hash
from maunet_lite.course.running.report import machine
from maunet_lite.course.running.runner import plan, run_notebooks
from maunet_lite.data import atomic_path
from maunet_lite.scale import open_pool

if TYPE_CHECKING:
    import pandas as pd

Grid = Mapping[str, Any]
TABLE = "sweep.csv"
_MEASURED, _LAST = ["status", "minutes", "peak_memory_mib"], ["notebook", "error"]


class Combination(NamedTuple):
    """One point of a grid: its own values, all parameters of the run, and a name for both."""

    key: str
    values: dict[str, Any]
    parameters: dict[str, Any]


def read_grid(grid: Grid | list[Grid] | str | Path) -> list[dict[str, Any]]:
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
    where = "the grid"
    if isinstance(grid, (str, Path)):
        where, grid = str(grid), _read_yaml(Path(grid))
    parts = grid if isinstance(grid, list) else [grid]
    if not parts or not all(
        isinstance(part, Mapping) and part and all(map(_is_name, part)) for part in parts
    ):
        raise ValueError(f"{where} should say parameter: [values], such as SEED: [1, 2, 3]; got {grid!r}")
    combinations = []
    for part in parts:
        axes = {name: v if isinstance(v, (list, tuple)) else [v] for name, v in part.items()}
        if empty := [name for name, axis in axes.items() if not axis]:
            raise ValueError(f"{where} has no value for {empty[0]}: give one or more, or leave it out")
        combinations += [
            dict(zip(axes, map(_as_number, values), strict=True)) for values in product(*axes.values())
        ]
    return [c for i, c in enumerate(combinations) if c not in combinations[:i]]


def _read_yaml(path: Path) -> Any:
    import yaml

    try:
        return yaml.safe_load(path.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise ValueError(f"{path} is no YAML: {' '.join(str(error).split())}") from error


def _is_name(name: Any) -> bool:
    return isinstance(name, str) and name.isidentifier()


def _as_number(value: Any) -> Any:
    """Turn "1e-3" into a number, which YAML takes for a text."""
    if isinstance(value, str) and value[:1] in "+-.0123456789":
        with suppress(ValueError):
            return float(value)
    return value


def run_sweep(
    notebook: str | Path,
    grid: Grid | list[Grid] | str | Path,
    out: str | Path,
    *,
    scheduler: str | None = None,
    workers: int | None = None,
    profile: str = "smoke",
    timeout: float | None = None,
    progress: bool = True,
) -> pd.DataFrame:
    """Run a notebook once for each combination of a grid, and put what it records into one table.

    Parameters
    ----------
    notebook : str or path
        A number, a name or a path, as in `run_notebooks`.
    grid : dict, list of dict or path
        See `read_grid`.
    out : path
        A folder: ``sweep.csv`` is written anew after each run, ``sweep.json`` says how it was made, ``runs``
        holds the executed notebooks and ``results`` what is known already.
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
    """
    from tqdm import tqdm

    (source,) = select([str(notebook)])
    combinations = plan_sweep(source, grid, profile)
    out = Path(out).resolve()
    results = {c.key: known for c in combinations if (known := _known(out, c.key))}
    waiting = [c for c in combinations if results.get(c.key, {}).get("status") != "ok"]
    _write_json(out / "sweep.json", _description(source, grid, profile))
    table = _save_table(out / TABLE, combinations, results)
    if not waiting:
        return table
    options = {"source": source, "profile": profile, "out": out, "timeout": timeout}
    bar = tqdm(total=len(waiting), unit="run", disable=None if progress else True, leave=False)
    with open_pool(scheduler, workers, gpu_per_worker=True) as pool, bar:
        for index, result in pool.map(run_combination, waiting, **options):
            if isinstance(result, Exception):
                result = {"status": "died", "error": f"{type(result).__name__}: {result}"}
            results[waiting[index].key] = result
            table = _save_table(out / TABLE, combinations, results)
            bar.update()
            if progress:
                bar.write(_line(waiting[index], result))
    return table


def plan_sweep(source: Path, grid: Grid | list[Grid] | str | Path, profile: str) -> list[Combination]:
    """Return the runs of a sweep, or refuse it as `course.running.runner.plan` does."""
    digest = source_hash(source)
    combinations = {}
    for values in read_grid(grid):
        parameters = plan([source], profile, values)[source]
        identity = json.dumps([digest, parameters], sort_keys=True, default=str)
        key = hashlib.sha256(identity.encode()).hexdigest()[:16]
        combinations.setdefault(key, Combination(key, values, parameters))
    return list(combinations.values())


def run_combination(
    combination: Combination, source: Path, profile: str, out: Path, timeout: float | None
) -> dict[str, Any]:
    """Run one combination and keep its result in ``out/results``; this is the task of a sweep."""
    report = run_notebooks(
        [str(source)], profile, combination.values, out / "runs", timeout=timeout, progress=False,
        plans={source: combination.parameters},
    )  # fmt: skip
    if report.interrupted:
        raise KeyboardInterrupt
    run = report.runs[0]
    result = {
        "status": run.status,
        "minutes": run.minutes,
        "peak_memory_mib": round(run.peak_memory_mib),
        "records": run.records,
        "notebook": str(run.executed.relative_to(out)) if run.executed else "",
        "error": " ".join(run.failure().split()),
    }
    _write_json(out / "results" / f"{combination.key}.json", result)
    return result


def to_table(combinations: list[Combination], results: Mapping[str, Mapping[str, Any]]) -> pd.DataFrame:
    """Return one row per combination that has a result, in the order of the grid."""
    import pandas as pd

    done = [c for c in combinations if c.key in results]
    values = pd.DataFrame([c.values for c in done])
    known = pd.DataFrame([results[c.key] for c in done], columns=[*_MEASURED, "records", *_LAST])
    records = [record if isinstance(record, dict) else {} for record in known["records"]]
    records = pd.json_normalize(records, sep=" ", max_level=1)  # of a dictionary, one column per key
    taken = {*values, *_MEASURED}
    records = records.rename(columns=lambda name: f"recorded {name}" if name in taken else name)
    table = pd.concat([values, known[_MEASURED], records, known[_LAST].fillna("")], axis=1)
    return table.map(lambda value: json.dumps(value) if isinstance(value, (list, tuple, dict)) else value)


def _known(out: Path, key: str) -> dict[str, Any] | None:
    try:
        return json.loads((out / "results" / f"{key}.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def _save_table(path: Path, combinations: list[Combination], results: dict[str, Any]) -> pd.DataFrame:
    table = to_table(combinations, results)
    with atomic_path(path) as temporary:
        table.to_csv(temporary, index=False)
    return table


def _write_json(path: Path, content: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps(content, indent=1, default=str) + "\n", encoding="utf-8")


def _description(source: Path, grid: Any, profile: str) -> dict[str, Any]:
    """Say what a table was made from: notebook, grid, commit of the checkout (if it is one), machine."""
    commit = None
    with suppress(OSError):
        command = ["git", "-C", str(Path(__file__).parent), "rev-parse", "--short", "HEAD"]
        commit = subprocess.run(command, capture_output=True, text=True).stdout.strip() or None
    return {
        "notebook": source.name,
        "sha256": source_hash(source),
        "profile": profile,
        "grid": grid,
        "combinations": read_grid(grid),
        "commit": commit,
        "machine": machine(),
        "started": datetime.now().isoformat(timespec="seconds"),
    }


def _line(combination: Combination, result: Mapping[str, Any]) -> str:
    settings = ", ".join(f"{name}={value}" for name, value in combination.values.items())
    text = f"{result['status']:8} {result.get('minutes', 0):6.1f} min  {settings}"
    return f"{text}\n    {result['error']}" if result["status"] != "ok" else text
