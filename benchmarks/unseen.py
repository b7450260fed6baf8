"""How well does a recipe do on a source of images that it never saw?

    python -m benchmarks.unseen --data cells more [--steps 600] [--variants paper wild …] [--minutes 60]

For every source of the folders: train the `lite` network without it, from nothing, and score it on images of
it. The mean over sources is the number to raise, beside the validation split of the sources that were there.
Variants:

- ``paper``: the paper's augmentation, recipe `lite`
- ``wild``: the transforms of :mod:`maunet_lite.wild`
- ``wild+teacher``: with simulated pictures of :mod:`maunet_lite.simulation.teacher` besides
- any of these with ``-noproxy``; ``wild-NAME``: without one of the transforms, such as ``wild-polarity``

What is done is not done again, and a training that was interrupted goes on: with ``--minutes`` no further one
is begun after that time, and the same command goes on later. After each training the CSV is written: one line
per variant, source and seed, with ``f1`` on the source left out, ``f1_auto`` on it with the size of its cells
estimated, ``f1_val`` on the validation images of all others. Budgets are equal in steps and patches.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch

from benchmarks.training_runs import commit, trained, training_parser, use_temporary_folder, write_table
from maunet_lite.datasets import CellDataset, load_dataset
from maunet_lite.evaluation import evaluate
from maunet_lite.images import atomic_path
from maunet_lite.inference import resolve_device
from maunet_lite.recipes import RECIPES, TrainConfig

RESULTS = Path(__file__).parent / "results" / "unseen.csv"
TEACHER = "teacher-"  # sources of simulated pictures begin with it


class Row(NamedTuple):
    """One training: how, without which source, and with which seed."""

    variant: str
    source: str
    seed: int

    @property
    def name(self) -> str:
        """Return a name for its folder."""
        return f"{self.variant}-without-{self.source}-{self.seed}"


def joined(folders: Sequence[Path], out: Path) -> Path:
    """Join dataset folders into one of links to their files; return it.

    Parameters
    ----------
    folders : sequence of Path
        Each with ``images/``, ``labels/`` and ``metadata.csv``; image names must differ between them.
    out : Path
        Used as it is if it holds the same images.
    """
    tables = [load_dataset(folder).table.assign(folder=str(Path(folder).resolve())) for folder in folders]
    table = pd.concat(tables, ignore_index=True)
    if table["image"].duplicated().any():
        raise SystemExit(
            f"two of the folders hold {table['image'][table['image'].duplicated()].iloc[0]!r}: rename one"
        )
    columns = ["image", "modality", "source", "split"]
    if out.exists():
        if set(load_dataset(out).table["image"]) == set(table["image"]):
            return out
        raise SystemExit(f"{out} was joined from other folders: remove it, or name another --out")
    with atomic_path(out) as unfinished:
        for part in ("images", "labels"):
            (unfinished / part).mkdir(parents=True)
        for row in table.itertuples():
            for part, name in (("images", row.image), ("labels", row.label)):
                if isinstance(name, str):
                    os.symlink(Path(row.folder) / part / name, unfinished / part / name)
        table[columns].to_csv(unfinished / "metadata.csv", index=False)
    return out


def rows(data: CellDataset, variants: Sequence[str], seeds: Sequence[int]) -> Iterator[Row]:
    """Yield the trainings: all sources and variants of a seed before the next seed."""
    sources = [name for name in dict.fromkeys(data.table["source"]) if not name.startswith(TEACHER)]
    for seed in seeds:
        for source in sources:
            for variant in variants:
                yield Row(variant, source, seed)


def configuration(row: Row, data: CellDataset, options: argparse.Namespace) -> TrainConfig:
    """Return the recipe of a row.

    Raises
    ------
    SystemExit
        If there is no such variant.
    """
    kind, *without = row.variant.removesuffix("-noproxy").split("-")
    if kind not in ("paper", "wild", "wild+teacher") or (without and kind == "paper"):
        raise SystemExit(f"variant {row.variant!r} is not known; see `python -m benchmarks.unseen --help`")
    taught = sorted({name for name in data.table["source"] if name.startswith(TEACHER)})
    changes: dict[str, Any] = {"leave_out": (row.source, *([] if "teacher" in kind else taught))}
    if kind != "paper":
        changes |= {"wild": dict.fromkeys(without, 0.0), "balance": 0.35}
    return RECIPES["lite"].override(
        data=str(data.folder), out=str(options.out / row.name), steps=options.steps, patch=options.patch,
        device=options.device, precision=options.precision, validate_every=0, validation_images=1,
        seed=row.seed, proxy=not row.variant.endswith("-noproxy"), **changes,
    )  # fmt: skip


def scores(weights: Path, row: Row, data: CellDataset, options: argparse.Namespace) -> dict[str, float]:
    """Score a network on the source it never saw, as it is and with the size estimated, and on the others."""

    def mean(part: CellDataset, **how: Any) -> float:
        return float(
            evaluate(weights, part, "all", device=options.device, progress=False, **how)["f1"].mean()
        )

    sources = data.table["source"]
    unseen = evenly(data.select(np.flatnonzero(sources == row.source)).labelled(), options.images)
    seen = data.select(np.flatnonzero((data.table["split"] == "val") & (sources != row.source))).labelled()
    seen = evenly(seen, options.images if options.quick else len(seen))
    return {
        "images": len(unseen),
        "f1": mean(unseen),
        "f1_auto": mean(unseen, scales="auto"),
        "f1_val": mean(seen) if len(seen) else float("nan"),
    }


def evenly(data: CellDataset, n: int) -> CellDataset:
    """Return at most `n` images of a dataset, evenly spaced."""
    return data.select(np.unique(np.linspace(0, len(data) - 1, min(n, len(data))).astype(int)).tolist())


def run(row: Row, data: CellDataset, options: argparse.Namespace) -> None:
    """Train and score one row, unless it is done."""
    done = (options.out / row.name).with_suffix(".csv")
    if done.exists():
        return
    print(f"{row.variant} without {row.source}, seed {row.seed}", flush=True)
    weights = trained(configuration(row, data, options))
    minutes = pd.read_csv(weights.parent / "log.csv")["minutes"].iloc[-1]
    found = scores(weights, row, data, options)
    about = {"steps": options.steps, "minutes": round(minutes, 1)} | circumstances(options)
    write_table(pd.DataFrame([row._asdict() | found | about]), done)
    collect(options)


def circumstances(options: argparse.Namespace) -> dict[str, str]:
    """Return what a reader must know about a number."""
    device = resolve_device(options.device)
    machine = platform.machine() if device.type == "cpu" else torch.cuda.get_device_name(device)
    data = "+".join(Path(name).name for name in options.data)
    return {"commit": commit(), "machine": f"{machine}, {options.precision}", "data": data}


def collect(options: argparse.Namespace) -> pd.DataFrame:
    """Join all that is done into the CSV and return it."""
    parts = [pd.read_csv(path) for path in sorted(options.out.glob("*-without-*.csv"))]
    table = pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()
    if len(table):
        write_table(table, options.results)
    return table


def keep_to_one_budget(options: argparse.Namespace) -> None:
    """Refuse a folder whose trainings had another budget: they would count as done."""
    path = options.out / "options.json"
    mine = {
        "data": [Path(name).name for name in options.data],
        "steps": options.steps,
        "patch": options.patch,
    }
    options.out.mkdir(parents=True, exist_ok=True)
    if not path.exists():
        path.write_text(json.dumps(mine), encoding="utf-8")
    if (theirs := json.loads(path.read_text(encoding="utf-8"))) != mine:
        raise SystemExit(f"{options.out} holds trainings with {theirs}, not {mine}: name another --out")


def main() -> None:
    """Train and score what is missing until the time is over."""
    parser = training_parser(__doc__, RESULTS, "runs/unseen")
    parser.set_defaults(data=["cells", "more"])
    for action in parser._actions:
        if action.dest == "data":
            action.nargs, action.help = "+", "names or folders of datasets, joined"
    parser.add_argument("--variants", nargs="+", default=["paper", "wild", "wild+teacher"])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument(
        "--sources", nargs="+", help="leave out only these, one after the other; by default all"
    )
    parser.add_argument("--steps", type=int, default=600)
    parser.add_argument("--patch", type=int, default=192)
    parser.add_argument("--images", type=int, default=24, help="at most so many are scored of a source")
    parser.add_argument("--minutes", type=float, help="begin no further training after so many")
    options = parser.parse_args()
    if options.quick:
        use_temporary_folder(options)
        options.steps, options.images, options.variants = 2, 1, options.variants[:2]
    keep_to_one_budget(options)
    data = load_dataset(joined(options.data, options.out / "data"))
    started = time.monotonic()
    for row in rows(data, options.variants, options.seeds):
        if options.sources and row.source not in options.sources:
            continue
        if options.minutes and time.monotonic() - started > 60 * options.minutes:
            print("the time is over; the same command goes on", flush=True)
            break
        run(row, data, options)
    table = collect(options)
    if len(table):
        print(table.groupby("variant")[["f1", "f1_auto", "f1_val"]].mean().round(3).to_string())
        print(table.pivot_table(index="source", columns="variant", values="f1_auto").round(3).to_string())


if __name__ == "__main__":
    main()
