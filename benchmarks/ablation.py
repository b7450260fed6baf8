"""The kit's own Tables 4, 5 and 7 (paper sections 4.1 and 4.2), and more, at equal budgets.

    python -m benchmarks.ablation --data FOLDER [--steps 600] [--seeds 0 1 2] [--only 4 5 7 curve …]

Three more tables: ``curve`` takes fewer labels, ``budget`` fewer or more steps, ``differences`` the paper's
or the authors' variant where both exist. ``--only shipped`` trains nothing and scores the shipped weights
and Otsu + watershed.

Every row is one training of the `lite` network with the same number of optimiser steps and patches, scored on
the validation split. What is done is not done again; several processes may work on one ``--out``. At the end,
and after each row, ``benchmarks/results/ablation.csv`` is written: one line per row, seed and modality, with
steps, minutes, commit and machine.

Budgets are equal in steps and in patches per step. Consistency regularization trains two networks, so its
runs take about twice the time; `minutes` says how long each took. Half of the labels are hidden from all
rows of Table 4, so that there is something to be regularised on.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from benchmarks.training_runs import (
    commit,
    refuse_other_data,
    trained,
    training_parser,
    use_temporary_folder,
    write_table,
)
from maunet_lite.data import CellDataset, atomic_path, load_dataset
from maunet_lite.evaluation import baseline, evaluate, summary
from maunet_lite.inference import resolve_device
from maunet_lite.training import RECIPES, TrainConfig

RESULTS = Path(__file__).parent / "results" / "ablation.csv"
SCALES = {"one scale": (1.0,), "three scales": (1.0, 1.25, 1.5)}
# Encoder B of Table 5 stands for WideResNet50 without its last stage: fewer stages, wider.
ENCODER_B = {"encoder": "lite:32-64-128-192", "widths": (0, 16, 32, 64, 96)}
SHARES = (0.001, 0.035, 0.2)  # of the labels, all of which are in row A of Table 5
STEPS = (75, 150, 300, 1200, 2400)  # beside the 600 of row A
COLUMNS = ["mean_dice", "mean_class_dice", "mean_f1_plain", "mean_f1", "median_f1", "pooled_f1"]


@dataclass(frozen=True)
class Row:
    """One training: where it belongs, and what differs from the base."""

    table: str
    variant: str
    seed: int
    changes: dict[str, Any] = field(default_factory=dict)

    @property
    def folder(self) -> str:
        """Return a name for the run."""
        words = "".join(c if c.isalnum() else "-" for c in f"{self.table}-{self.variant}")
        return f"{words}-{self.seed}"


def rows(seeds: list[int], only: list[str], train: CellDataset) -> list[Row]:
    """Return the trainings, all variants of a seed before the next seed; `train` says how many labels are."""
    half = {"labelled_fraction": 0.5}
    four = {
        "base": half | {"proxy": False},
        "w/o L_reg": half | {"proxy": False, "distance": False},
        "CR": half | {"proxy": False, "method": "cr"},
        "CR*": half | {"proxy": False, "method": "cr*"},
        "AAP": half,
    }
    five = {"A": {}, "B": {"network": ENCODER_B}}
    seven = {
        f"simulated to real, {name}": {"data": "simulated", "proxy": proxy}
        for name, proxy in (("proxy", True), ("no proxy", False))
    }
    curve = {labelled_images(train, share): {"labelled_fraction": share} for share in SHARES}
    budget = {f"{steps} steps": {"steps": steps, "warmup": min(100, steps // 6)} for steps in STEPS}
    differences = {  # from row A of Table 5, which has the kit's defaults
        "intensity as in the paper": {"targets": {"intensity": "paper"}},
        "boundary as in the authors' code": {"targets": {"boundary": "authors"}},
        "centre as in the authors' code": {"targets": {"center": "authors"}},
    }
    plan = {"4": four, "5": five, "7": seven, "curve": curve, "budget": budget, "differences": differences}
    return [
        Row(table, variant, seed, changes)
        for seed in seeds
        for table in only
        for variant, changes in plan.get(table, {}).items()
    ]


def labelled_images(train: CellDataset, share: float) -> str:
    """Say how many labelled images a share of them is; every source keeps at least one."""
    return f"{len(train.labelled().fraction(share, np.random.default_rng(0))[0])} images"


def configuration(row: Row, options: argparse.Namespace) -> TrainConfig:
    """Return the recipe of a row."""
    base = RECIPES["lite-plain"].override(
        data=options.data, steps=options.steps, patch=192, device=options.device, precision=options.precision,
        validate_every=0, validation_images=4, seed=row.seed, out=str(options.out / row.folder),
    )  # fmt: skip
    return base.override(**row.changes)


def score(models: list[Path], data: str, scales: tuple[float, ...], device: str) -> pd.DataFrame:
    """Return the summary on the validation split, one line per modality and one for all."""
    return summed_up(evaluate(models, data, "val", scales=scales, device=device, progress=False))


def summed_up(table: pd.DataFrame) -> pd.DataFrame:
    """Return the scores of `evaluate`'s table by modality."""
    return summary(table)[["images", *COLUMNS]].round(4).reset_index()


def train_row(row: Row, options: argparse.Namespace) -> None:
    """Train and score one row, unless it is done or another process is at it."""
    folder = options.out / row.folder
    done, claim = folder.with_suffix(".csv"), folder.with_suffix(".claim")
    if done.exists() or not _claimed(claim):
        return
    print(f"table {row.table}: {row.variant}, seed {row.seed}", flush=True)
    try:
        weights = trained(configuration(row, options))
        scores = score([weights], options.data, (1.0,), options.device)
        steps, minutes = pd.read_csv(folder / "log.csv")[["step", "minutes"]].iloc[-1]
        labels = {"table": row.table, "variant": row.variant, "seed": row.seed}
        about = {"steps": int(steps), "minutes": minutes} | circumstances(options)
        write_table(pd.DataFrame({**labels, **scores, **about}), done)
    finally:
        claim.unlink()
    collect(options.out, options.results)


def circumstances(options: argparse.Namespace) -> dict[str, str]:
    """Return what a reader must know about a number."""
    device = resolve_device(options.device)
    threads = torch.get_num_threads()
    cores = f"{threads} core{'s' if threads > 1 else ''}, {platform.machine()}"
    machine = cores if device.type == "cpu" else torch.cuda.get_device_name(device)
    data = load_dataset(options.data).name
    return {"commit": commit(), "machine": f"{machine}, {options.precision}", "data": data}


def keep_to_one_budget(options: argparse.Namespace) -> None:
    """Refuse a folder whose rows were made with other options: they would count as done.

    Raises
    ------
    SystemExit
        With what differs.
    """
    path = options.out / "options.json"
    mine = {"data": load_dataset(options.data).name, "steps": options.steps, "precision": options.precision}
    if not path.exists():
        with atomic_path(path) as part:
            part.write_text(json.dumps(mine), encoding="utf-8")
    theirs = json.loads(path.read_text(encoding="utf-8"))
    if differing := [name for name in mine if mine[name] != theirs[name]]:
        told = ", ".join(f"{name} {theirs[name]} there, {mine[name]} here" for name in differing)
        raise SystemExit(
            f"{options.out} holds rows of another ablation ({told}); name another folder with --out"
        )


def _claimed(claim: Path) -> bool:
    """Claim a row for this process; claims of processes that are gone do not count."""
    try:
        with claim.open("x") as file:
            file.write(str(os.getpid()))
        return True
    except FileExistsError:
        try:
            os.kill(int(claim.read_text() or 0), 0)
        except (ProcessLookupError, ValueError):
            claim.write_text(str(os.getpid()))
            return True
        except (FileNotFoundError, PermissionError):  # released this moment; somebody else's
            return False
        return False


def ensembles(options: argparse.Namespace, train: CellDataset) -> None:
    """Score Table 5: each encoder and both together, at one scale and at three.

    Encoder A at one scale has seen all labels for the common budget: it is a point of both learning curves.
    """
    for seed in options.seeds:
        weights = {name: options.out / Row("5", name, seed).folder / "last.safetensors" for name in "AB"}
        if not all(path.parent.with_suffix(".csv").exists() for path in weights.values()):
            continue  # another process is still training one of them
        for name, models in {"A": "A", "B": "B", "A + B": "AB"}.items():
            for scale, scales in SCALES.items():
                done = options.out / f"5-{name.replace(' ', '')}-{scale.split()[0]}-{seed}.csv"
                if done.exists():
                    continue
                scores = score([weights[m] for m in models], options.data, scales, options.device)
                spent = [pd.read_csv(weights[m].parent.with_suffix(".csv"))["minutes"][0] for m in models]
                about = {"steps": options.steps, "minutes": sum(spent)} | circumstances(options)
                places = {"5": f"{name}, {scale}"}
                if (name, scale) == ("A", "one scale"):
                    places |= {"curve": labelled_images(train, 1.0), "budget": f"{options.steps} steps"}
                parts = [
                    pd.DataFrame({"table": table, "variant": variant, "seed": seed, **scores, **about})
                    for table, variant in places.items()
                ]
                write_table(pd.concat(parts), done)


def shipped(options: argparse.Namespace) -> None:
    """Score the shipped weights for Table 7, and the baseline beside them."""
    from maunet_lite.network import read_record, shipped_models

    for name in shipped_models():
        scores = score([name], options.data, (1.0,), options.device)
        stages = read_record(name)["record"]["stages"]
        labels = {"table": "7", "variant": f"shipped {name}", "seed": 0}
        about = {part: round(sum(stage[part] for stage in stages)) for part in ("steps", "minutes")}
        rows = pd.DataFrame({**labels, **scores, **about, **circumstances(options)})
        write_table(rows, options.out / f"7-shipped-{name}.csv")
    scores = summed_up(baseline(options.data, "val", progress=False))
    labels = {"table": "7", "variant": "Otsu + watershed", "seed": 0}
    rows = pd.DataFrame({**labels, **scores, "steps": 0, "minutes": 0, **circumstances(options)})
    write_table(rows, options.out / "7-baseline.csv")


def collect(out: Path, results: Path) -> pd.DataFrame:
    """Join all that is done into one CSV; what else stands in it, from another folder, stays."""
    types = {"table": str, "commit": str}
    parts = [pd.read_csv(path, dtype=types) for path in sorted(out.glob("*.csv"))]
    parts = [part for part in parts if not set(part["variant"]) <= {"A", "B"}]  # scored again in ensembles
    table = pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()
    if len(table):
        keys = ["table", "variant", "seed"]
        if results.exists():
            before = pd.read_csv(results, dtype=types)
            ours = pd.MultiIndex.from_frame(before[keys]).isin(pd.MultiIndex.from_frame(table[keys]))
            table = pd.concat([before[~ours], table], ignore_index=True)
        table = table.sort_values(keys, kind="stable")
        write_table(table, results)
    return table


def report(table: pd.DataFrame) -> Iterator[str]:
    """Yield one block per table: mean and spread over seeds of all modalities together."""
    for name, part in table[table["modality"] == "all"].groupby("table"):
        rows = part.groupby("variant", sort=False)[COLUMNS].agg(["mean", "std"]).round(3)
        counts = part.groupby("variant", sort=False).size().rename("seeds")
        shown = {
            column: rows[column]["mean"].map("{:.3f}".format)
            + " ± "
            + rows[column]["std"].map("{:.3f}".format)
            for column in COLUMNS
        }
        yield f"\nTable {name}\n\n" + pd.DataFrame(shown).join(counts).to_string()


def main() -> None:
    """Train what is missing, score it, write the CSV."""
    parser = training_parser(__doc__, RESULTS, "runs/ablation")
    parser.add_argument("--steps", type=int, default=600)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    groups = ["4", "5", "7", "curve", "budget", "differences", "shipped"]
    parser.add_argument("--only", nargs="+", default=groups, choices=groups)
    options = parser.parse_args()
    if options.quick:
        options.steps, options.seeds, options.only = 2, [0], ["curve"]
        use_temporary_folder(options)
    refuse_other_data(options, RESULTS)
    train = load_dataset(options.data).split("train")
    options.out.mkdir(parents=True, exist_ok=True)
    keep_to_one_budget(options)
    started = time.monotonic()
    for row in rows(options.seeds, options.only, train):
        train_row(row, options)
    if "5" in options.only:
        ensembles(options, train)
    if "shipped" in options.only:
        shipped(options)
    print("\n".join(report(collect(options.out, options.results))))
    minutes = (time.monotonic() - started) / 60
    print(f"\n{minutes:.0f} minutes; one line per row and modality in {options.results}")


if __name__ == "__main__":
    main()
