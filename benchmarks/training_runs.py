"""What the benchmarks that train share: options, runs that are taken up again, tables that are whole."""

from __future__ import annotations

import argparse
import subprocess
import tempfile
from pathlib import Path

import pandas as pd

from maunet_lite.data import atomic_path, load_dataset
from maunet_lite.training import TrainConfig


def training_parser(
    description: str | None, results: Path, out: str, *, many: bool = False
) -> argparse.ArgumentParser:
    """Return a parser with the options that all of them have.

    Parameters
    ----------
    description : str
        The module's docstring.
    results : Path
        The table to write by default.
    out : str
        Folder of the runs by default.
    many : bool
        Take several datasets.
    """
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    told = {"nargs": "+", "help": "names or folders"} if many else {"help": "name or folder of a dataset"}
    parser.add_argument("--data", default=["simulated"] if many else "simulated", **told)
    parser.add_argument("--results", type=Path, default=results, help="the CSV to write")
    parser.add_argument(
        "--out", type=Path, default=Path(out), help="folder of the runs; what is there counts"
    )
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--precision", default="float32", help="float32 or bfloat16")
    parser.add_argument("--quick", action="store_true", help="seconds each, in a new folder: does it run?")
    return parser


def use_temporary_folder(options: argparse.Namespace) -> None:
    """Let a quick run neither find nor overwrite what a long one left."""
    options.out = Path(tempfile.mkdtemp(prefix="benchmark-"))
    options.results = options.out / "results" / options.results.name


def refuse_other_data(options: argparse.Namespace, shipped: Path) -> None:
    """Refuse to write scores on other images over the table that the docs show.

    Raises
    ------
    SystemExit
        If the dataset is not "cells" and no other file was named.
    """
    if options.results == shipped and (name := load_dataset(options.data).name) != "cells":
        raise SystemExit(f"{shipped.name} is of the dataset 'cells', not {name!r}: name another --results")


def trained(config: TrainConfig) -> Path:
    """Train, or take up or use what an earlier call left; return the last weights.

    Raises
    ------
    KeyboardInterrupt
        If the training was interrupted: it ends cleanly by itself, a benchmark must not go on with the next.
    """
    from maunet_lite.training import train

    result = train(config, resume=True)
    if result.interrupted:
        raise KeyboardInterrupt
    return result.folder / "last.safetensors"


def write_table(table: pd.DataFrame, path: Path, *, index: bool = False) -> None:
    """Write a CSV under a temporary name first."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(path) as part:
        table.to_csv(part, index=index)


def commit() -> str:
    """Return the current commit, or say that there is none."""
    done = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False
    )
    return done.stdout.strip() or "unknown"
