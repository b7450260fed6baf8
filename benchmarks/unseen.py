"""How well does a recipe do on a source of images that it never saw?

    python -m benchmarks.unseen --data cells more [--steps 600] [--variants paper lite …] [--minutes 60]

For every source of the folders: train the `lite` network without it, from nothing, and score it on images of
it. The mean over sources is the number to raise, beside the validation split of the sources that were there.
Variants:

- ``paper``: the paper's augmentation, recipe ``lite-plain``
- ``lite``: domain randomization, recipe ``lite``
- ``lite+extra``: with the simulated pictures of dataset ``simulated-extra`` besides
- ``lite-NAME``: without one change, such as ``lite-polarity``; NAME is size, colour, polarity, debris, light,
  sparse, focus or noise. ``--switched-off`` adds all of them.
- any of these with ``-noproxy``
- ``simulated``: nothing but simulated pictures, with ``--base-steps``

``--base-steps N`` begins with N steps of ``lite-plain`` on the simulated pictures of ``simulated-extra``
alone, once (``--base-seed``), and every training goes on from there: it has seen no source of the folders
either, and few steps more are enough to tell designs apart.

What is done is not done again, and a training that was interrupted goes on: with ``--minutes`` no further
one is begun after that time, and the same command goes on later. ``--folds`` leaves out that many groups of
sources, one after the other, instead of one source at a time, which costs less. After each training the CSV
is written: one line per variant, source and seed, with ``f1`` on the source left out at its own size,
``f1_auto`` with the size of its cells estimated, and ``f1_val`` on the validation images of all other
sources. Budgets are equal in steps and patches.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from benchmarks.ablation import circumstances as machine_and_commit
from benchmarks.training_runs import trained, training_parser, use_temporary_folder, write_table
from maunet_lite.data import CellDataset, atomic_path, load_dataset
from maunet_lite.evaluation import evaluate
from maunet_lite.training import RECIPES, TrainConfig

RESULTS = Path(__file__).parent / "results" / "unseen.csv"
EXTRA = "simulated-extra"
# What is switched off by name: an option of the augmentation, and the value that switches it off.
CHANGES = {"size": ("p_resize", 0.0)} | {
    name: (f"p_{name}", 0.0) for name in ("colour", "polarity", "debris", "light", "sparse", "focus", "noise")
}


class Row(NamedTuple):
    """One training: how, without which sources, and with which seed."""

    variant: str
    sources: tuple[str, ...]
    seed: int

    @property
    def name(self) -> str:
        """Return a name for its folder."""
        return f"{self.variant}-without-{'+'.join(self.sources)}-{self.seed}"


def joined(folders: Sequence[str | Path], out: Path) -> CellDataset:
    """Join dataset folders into one of links to their files.

    Parameters
    ----------
    folders : sequence of str or Path
        Datasets; image names must differ between them.
    out : Path
        Used as it is if it holds the same images.
    """
    parts = [load_dataset(folder) for folder in folders]
    table = pd.concat([part.table.assign(folder=str(part.folder.resolve())) for part in parts])
    if (twice := table["image"].duplicated()).any():
        raise SystemExit(f"two of the folders hold {table['image'][twice].iloc[0]!r}: rename one")
    if out.exists():
        if set(load_dataset(out).table["image"]) == set(table["image"]):
            return load_dataset(out)
        raise SystemExit(f"{out} was joined from other folders: remove it, or name another --out")
    with atomic_path(out) as unfinished:
        for part in ("images", "labels"):
            (unfinished / part).mkdir(parents=True)
        for row in table.itertuples():
            for part, name in (("images", row.image), ("labels", row.label)):
                if isinstance(name, str):
                    os.symlink(Path(row.folder) / part / name, unfinished / part / name)
        columns = ["image", "modality", "source", "split"]
        table[columns].to_csv(unfinished / "metadata.csv", index=False)
    return load_dataset(out)


def groups(data: CellDataset, folds: int | None) -> list[tuple[str, ...]]:
    """Return the sources that are left out together: one at a time, or in `folds` groups of like size."""
    sources, train = data.table["source"], data.table["split"] == "train"
    counts = (train + 0.001).groupby(sources).sum().sort_values(ascending=False, kind="stable")
    parts: list[list[str]] = [[] for _ in range(min(folds or len(counts), len(counts)))]
    for source in counts.index:  # that of most training images first, each into the smallest group
        min(parts, key=lambda part: (counts[part].sum(), part)).append(source)
    return [tuple(sorted(part)) for part in parts]


def rows(data: CellDataset, options: argparse.Namespace) -> Iterator[Row]:
    """Yield the trainings: all groups and variants of a seed before the next seed."""
    for seed in options.seeds:
        for sources in groups(data, options.folds):
            if not options.sources or set(options.sources) & set(sources):
                for variant in options.variants:
                    yield Row(variant, sources, seed)


def base(row: Row, options: argparse.Namespace) -> Path:
    """Return the weights that a row goes on from, trained when first asked for."""
    proxy = not row.variant.endswith("-noproxy")
    return trained(RECIPES["lite-plain"].override(
        data=EXTRA, out=str(options.out / ("base" if proxy else "base-noproxy")), steps=options.base_steps,
        patch=options.patch, device=options.device, precision=options.precision, validate_every=0,
        validation_images=1, seed=options.base_seed, proxy=proxy,
    ))  # fmt: skip


def configuration(
    row: Row, data: CellDataset, options: argparse.Namespace, start: Path | None = None
) -> TrainConfig:
    """Return the recipe of a row, from nothing or from the weights `start`.

    Raises
    ------
    SystemExit
        If there is no such variant.
    """
    kind, *without = row.variant.removesuffix("-noproxy").split("-")
    if kind not in ("paper", "lite", "lite+extra") or set(without) - set(CHANGES if kind != "paper" else ()):
        cure = "needs --base-steps" if kind == "simulated" else "is not known; see --help"
        raise SystemExit(f"variant {row.variant!r} {cure}")
    changes: dict[str, Any] = dict(CHANGES[name] for name in without)
    trained_on = set(data.split("train").table["source"])  # a source may have other images only
    changes["leave_out"] = tuple(name for name in row.sources if name in trained_on)
    changes["start_from"] = str(start) if start else None
    if kind == "lite+extra":
        data = joined([*options.data, EXTRA], options.out / "data+extra")
    return RECIPES["lite-plain" if kind == "paper" else "lite"].override(
        data=str(data.folder), out=str(options.out / row.name), steps=options.steps,
        patch=options.patch, device=options.device, precision=options.precision, validate_every=0,
        validation_images=1, seed=row.seed, proxy=not row.variant.endswith("-noproxy"), **changes,
    )  # fmt: skip


def scores(
    weights: Path, row: Row, data: CellDataset, options: argparse.Namespace
) -> list[dict[str, str | float]]:
    """Score a network on each source it never saw, at their size and at an estimated one, and on others."""

    def mean(part: CellDataset, scales: str | tuple[float, ...] = (1.0,)) -> float:
        found = evaluate(weights, part, "all", scales=scales, device=options.device, progress=False)
        return float(found["f1"].mean())

    sources, val = data.table["source"], data.table["split"] == "val"
    seen = data.select(np.flatnonzero(val & ~sources.isin(row.sources))).labelled()
    seen = evenly(seen, options.images if options.quick else len(seen))
    f1_val = mean(seen) if len(seen) else float("nan")
    found = []
    for source in row.sources:
        unseen = evenly(data.select(np.flatnonzero(sources == source)).labelled(), options.images)
        about = {"variant": row.variant, "source": source, "seed": row.seed, "images": len(unseen)}
        found.append(about | {"f1": mean(unseen), "f1_auto": mean(unseen, "auto"), "f1_val": f1_val})
    return found


def evenly(data: CellDataset, n: int) -> CellDataset:
    """Return at most `n` images of a dataset, evenly spaced."""
    return data.select(np.unique(np.linspace(0, len(data) - 1, min(n, len(data))).astype(int)).tolist())


def run(row: Row, data: CellDataset, options: argparse.Namespace) -> None:
    """Train and score one row, unless it is done."""
    done = options.out / f"{row.name}.csv"
    if done.exists():
        return
    print(f"{row.variant} without {', '.join(row.sources)}, seed {row.seed}", flush=True)
    start = base(row, options) if options.base_steps else None
    alone = start is not None and row.variant.removesuffix("-noproxy") == "simulated"
    weights = start if alone else trained(configuration(row, data, options, start))
    minutes = pd.read_csv(weights.parent / "log.csv")["minutes"].iloc[-1]
    about = {
        "base_steps": options.base_steps,
        "base_seed": options.base_seed,
        "steps": 0 if alone else options.steps,
    }
    about["minutes"] = round(minutes, 1)
    about |= machine_and_commit(argparse.Namespace(**vars(options) | {"data": str(data.folder)}))
    about["data"] = "+".join(Path(name).name for name in options.data)
    write_table(pd.DataFrame([found | about for found in scores(weights, row, data, options)]), done)


def collect(options: argparse.Namespace) -> pd.DataFrame:
    """Join all that is done into the CSV and return it."""
    parts = [pd.read_csv(path) for path in sorted(options.out.glob("*-without-*.csv"))]
    table = pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()
    if len(table):
        write_table(table, options.results)
    return table


def keep_to_one_budget(options: argparse.Namespace) -> None:
    """Refuse a folder whose trainings had another budget: they would count as done."""
    path, data = options.out / "options.json", [Path(name).name for name in options.data]
    mine = {"data": data, "steps": options.steps, "patch": options.patch, "folds": options.folds}
    mine |= {"base_steps": options.base_steps, "base_seed": options.base_seed}
    options.out.mkdir(parents=True, exist_ok=True)
    if not path.exists():
        with atomic_path(path) as part:
            part.write_text(json.dumps(mine), encoding="utf-8")
    if (theirs := json.loads(path.read_text(encoding="utf-8"))) != mine:
        raise SystemExit(f"{options.out} holds trainings with {theirs}, not {mine}: name another --out")


def refuse_other_sources(data: CellDataset, options: argparse.Namespace) -> None:
    """Keep the table that the documentation shows: it is of certain sources."""
    if options.results == RESULTS and set(data.table["source"]) != set(pd.read_csv(RESULTS)["source"]):
        raise SystemExit(f"{RESULTS.name} is of other sources than {options.data}: name another --results")


def parsed(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Return the options, those that follow from others included."""
    parser = training_parser(__doc__, RESULTS, "runs/unseen", many=True)
    parser.add_argument("--variants", nargs="+", default=["paper", "lite", "lite+extra"])
    parser.add_argument("--switched-off", action="store_true", help="also lite without each of its changes")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--sources", nargs="+", help="leave out only these; by default all, in turn")
    parser.add_argument("--folds", type=int, help="leave out so many groups of sources, not each alone")
    parser.add_argument("--steps", type=int, default=600)
    parser.add_argument("--base-steps", type=int, default=0, help="first so many on simulated pictures alone")
    parser.add_argument("--base-seed", type=int, default=RECIPES["lite-plain"].seed)
    parser.add_argument("--patch", type=int, default=192)
    parser.add_argument("--images", type=int, default=24, help="at most so many are scored of a source")
    parser.add_argument("--minutes", type=float, help="begin no further training after so many")
    options = parser.parse_args(arguments)
    if options.switched_off:
        options.variants += [f"lite-{name}" for name in CHANGES]
    if options.quick:
        use_temporary_folder(options)
        options.steps, options.patch, options.images, options.folds = 2, 64, 1, 2
        options.variants = options.variants[:2]
        options.base_steps = min(options.base_steps, 2)
    return options


def main() -> None:
    """Train and score what is missing until the time is over."""
    options = parsed()
    keep_to_one_budget(options)
    data = joined(options.data, options.out / "data")
    refuse_other_sources(data, options)
    started = time.monotonic()
    for row in rows(data, options):
        if options.minutes and time.monotonic() - started > 60 * options.minutes:
            print("the time is over; the same command goes on", flush=True)
            break
        run(row, data, options)
        collect(options)
    table = collect(options)
    if len(table):
        print(table.groupby("variant")[["f1", "f1_auto", "f1_val"]].mean().round(3).to_string())
        print(table.pivot_table(index="source", columns="variant", values="f1_auto").round(3).to_string())


if __name__ == "__main__":
    main()
