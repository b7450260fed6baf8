"""Fine-tuning on ten images of a kind that the weights have never seen: does it help, and how fast?

    python -m benchmarks.finetuning --data FOLDER [--source usiigaci] [--images 10] [--minutes 3]

One source is left out, a network is trained on all others (or given with ``--base``), and fine-tuned on a few
images of the source that was left out. Printed beside it, scored on the same validation images of that
source: the network before, one that saw nothing but these few images for the same time, Otsu + watershed,
and the shipped `lite-plain`, which has seen the source (the ceiling). All are of the recipe `lite-plain`. The
table goes to ``benchmarks/results/finetuning.csv``.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.training_runs import (
    commit,
    refuse_other_data,
    trained,
    training_parser,
    use_temporary_folder,
    write_table,
)
from maunet_lite.data import CellDataset, load_dataset
from maunet_lite.evaluation import baseline, evaluate, summary
from maunet_lite.training import RECIPES

RESULTS = Path(__file__).parent / "results" / "finetuning.csv"


def write_subset(data: CellDataset, source: str, images: int, seed: int, folder: Path) -> Path:
    """Write a dataset folder with a few training images of a source and all its validation images."""
    train = np.flatnonzero((data.table["source"] == source) & (data.table["split"] == "train"))
    val = np.flatnonzero((data.table["source"] == source) & (data.table["split"] == "val"))
    if len(train) < images or not len(val):
        raise SystemExit(
            f"source {source!r} has {len(train)} training and {len(val)} validation images, "
            f"needed are {images} and at least 1"
        )
    chosen = data.select([*np.random.default_rng(seed).permutation(train)[:images], *val])
    for part in ("images", "labels"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    for index in range(len(chosen)):
        shutil.copy(chosen.image_path(index), folder / "images")
        shutil.copy(chosen.label_path(index), folder / "labels")
    columns = [c for c in ("image", "modality", "source", "split") if c in chosen.table]
    chosen.table[columns].to_csv(folder / "metadata.csv", index=False)
    return folder


def main() -> None:
    """Train, fine-tune, score, print."""
    parser = training_parser(__doc__, RESULTS, "runs/finetuning")
    parser.add_argument("--source", default="usiigaci")
    parser.add_argument("--images", type=int, default=10)
    parser.add_argument("--minutes", type=float, default=3.0)
    parser.add_argument("--base", help="weights that have not seen the source (default: train some)")
    parser.add_argument("--base-minutes", type=float, default=10.0)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    if options.quick:
        options.minutes = options.base_minutes = 0.05
        options.images, options.source = 1, None
        use_temporary_folder(options)
    refuse_other_data(options, RESULTS)

    data = load_dataset(options.data)
    options.source = options.source or data.split("val").table["source"].iloc[0]
    common = {"device": options.device, "precision": options.precision, "seed": options.seed}
    plain = RECIPES["lite-plain"].override(**common, validate_every=0, validation_images=1)
    base = options.base or trained(
        plain.override(
            data=options.data, leave_out=[options.source], minutes=options.base_minutes,
            out=str(options.out / f"without-{options.source}"),
        )
    )  # fmt: skip
    few = options.out / f"{options.source}-{options.images}"
    write_subset(data, options.source, options.images, options.seed, few)
    short = plain.override(data=str(few), minutes=options.minutes, warmup=20)
    tuned = short.override(start_from=str(base), learning_rate=1e-3, out=str(options.out / "tuned"))
    scratch = short.override(out=str(options.out / "scratch"))
    weights = {
        f"trained without {options.source}": base,
        f"… fine-tuned on {options.images} of its images": trained(tuned),
        f"only these {options.images} images, from scratch": trained(scratch),
        "shipped lite-plain (has seen the source)": "lite-plain",
    }
    tables = {"Otsu + watershed": baseline(few, "val", progress=False)} | {
        name: evaluate(path, few, "val", device=options.device, progress=False)
        for name, path in weights.items()
    }
    rows = pd.DataFrame({name: summary(table).loc["all"] for name, table in tables.items()}).T
    rows = rows[["images", "mean_f1", "mean_f1_plain", "mean_dice"]].astype(float).round(3)
    rows["ratio"] = (rows["mean_f1"] / rows["mean_f1"].iloc[1]).round(2)
    rows = rows.assign(minutes=options.minutes, source=options.source, commit=commit())
    write_table(rows.rename_axis("network"), options.results, index=True)
    print(rows.drop(columns=["commit", "source"]).to_string())
    print(f"\nF1 on the validation images of {options.source}; ratio: to the network before fine-tuning")


if __name__ == "__main__":
    main()
