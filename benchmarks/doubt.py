"""Does doubt find the wrong cells? How well each measure of it orders them, by modality, and what it costs.

    python -m benchmarks.doubt --data FOLDER [--split val] [--images N] [--side 256] [--csv FILE]

The cells that `lite` finds are right if they match a true cell at IoU 0.5; those at the border are left out.
Compared are the area under the ROC curve (1: every wrong cell is doubted more than every right one, 0.5:
chance) of

- ``score``: one minus the calibrated score, from the one look that is needed anyway
- ``symmetries``, ``scales``, ``networks``: the mean of `inference.doubt_map` over the cell; the networks are
  `lite` and `lite-plain`
- ``… as cells``: one minus the mean IoU of the cell with the cell of another look that resembles it most

and the sum of score and each of them, in standard deviations. Cost: CPU time in looks, that is over that of
one look. By images: Spearman's correlation of the mean doubt of an image's cells with the F1 of the image.

``--csv`` writes one row per cell, ``--table`` prints the tables of such a file without a network, ``--quick``
takes the bundled samples.
"""

from __future__ import annotations

import argparse
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.sparse import csr_array
from sklearn.metrics import roc_auc_score
from tqdm.auto import tqdm

from benchmarks.calibration import inner_cells, right_cells
from maunet_lite.data import CellDataset, Sample, load_dataset
from maunet_lite.evaluation import match_cells
from maunet_lite.inference import (
    as_models,
    doubt_of,
    evidence,
    intensity_of,
    looks_at,
    mean_in_cells,
    predict,
    predict_sized,
    score_cells,
    to_planes,
)
from maunet_lite.network import MAUNet
from maunet_lite.postprocessing import segment

WAYS = ("symmetries", "scales", "networks")
CPU: Counter[str] = Counter()  # seconds


def best_overlaps(labels: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Return for each cell, in the order of ids, the IoU with the cell of `other` that resembles it most."""
    shared = csr_array((np.ones(labels.size, np.int64), (labels.ravel(), other.ravel()))).toarray()
    union = shared.sum(axis=1, keepdims=True) + shared.sum(axis=0) - shared
    iou = (shared / np.maximum(union, 1))[1:, 1:]
    return iou.max(axis=1, initial=0)


def middle(sample: Sample, side: int | None) -> tuple[np.ndarray, np.ndarray]:
    """Return the middle of an image and of its label map, at most `side` pixels high and wide."""
    shape = sample.labels.shape
    part = tuple(slice(max(0, (n - (side or n)) // 2), (n + (side or n)) // 2) for n in shape)
    return sample.image[part], sample.labels[part]


def measured(models: list[MAUNet], sample: Sample, side: int | None) -> pd.DataFrame:
    """Return a row per cell of an image: whether it is right, and how much each measure doubts it."""
    network, (image, truth) = models[:1], middle(sample, side)
    maps, size = predict_sized(network, image, device="cpu")
    labels = segment(maps, keep_steps=False).labels
    table = pd.DataFrame({"right": right_cells(truth, labels), "inner": inner_cells(labels)})
    table = table.assign(modality=sample.modality, f1=match_cells(truth, labels).f1)
    planes = to_planes(image, intensity_of(models))
    began = time.process_time()
    predict(network, planes, size.scales, device="cpu")
    CPU["look"] += time.process_time() - began
    began = time.process_time()
    table["score"] = 1 - score_cells(network, evidence(maps, labels))
    CPU["score"] += time.process_time() - began
    for way in WAYS:
        began = time.process_time()
        asked = models if way == "networks" else network
        looks = list(looks_at(asked, planes, size.scales, way, device="cpu"))
        table[way] = mean_in_cells(labels, doubt_of(looks))
        CPU[way] += time.process_time() - began
        others = [segment(look, keep_steps=False).labels for look in looks]
        resembles = [best_overlaps(labels, other) for other in others if not np.array_equal(other, labels)]
        table[f"{way} as cells"] = 1 - np.mean(resembles, axis=0) if resembles else 0.0
        CPU[f"{way} as cells"] += time.process_time() - began
    return table


def collect(data: CellDataset, n_images: int | None, side: int | None) -> pd.DataFrame:
    """Return the rows of all images, or of some evenly chosen."""
    models = as_models(["lite", "lite-plain"])
    chosen = np.unique(np.linspace(0, len(data) - 1, n_images or len(data)).astype(int))
    tables = [measured(models, data[int(k)], side).assign(image=k) for k in tqdm(chosen, unit="image")]
    cost = {f"cost {name}": seconds / CPU["look"] for name, seconds in CPU.items()}
    return pd.concat(tables, ignore_index=True).assign(**cost)


def summarized(cells: pd.DataFrame) -> pd.DataFrame:
    """Return a row per measure: AUC by modality and for all, correlation with F1, and cost."""
    cells = cells[cells["inner"]].copy()
    ways = [name for way in WAYS for name in (way, f"{way} as cells")]
    measures = ["score", *ways]
    scaled = cells[measures].sub(cells[measures].mean()).div(cells[measures].std() + 1e-9)
    for way in ways:
        cells[f"score + {way}"] = scaled["score"] + scaled[way]
    rows: dict[str, dict[str, Any]] = {}
    for name in [*measures, *(f"score + {way}" for way in ways)]:
        groups = [*cells.groupby("modality"), ("all", cells)]
        mixed = {kind: part for kind, part in groups if part["right"].nunique() == 2}
        row = {kind: roc_auc_score(~part["right"], part[name]) for kind, part in mixed.items()}
        images = cells.groupby("image").agg(doubt=(name, "mean"), f1=("f1", "first"))
        row["images: rank correlation with F1"] = images.corr("spearman").loc["doubt", "f1"]
        row["looks"] = 1 + sum(cells[f"cost {part}"].iloc[0] for part in name.split(" + "))
        rows[name] = row
    return pd.DataFrame.from_dict(rows, orient="index")


def main() -> None:
    """Measure, or read what was measured, and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", default="samples")
    parser.add_argument("--split", default="val")
    parser.add_argument("--images", type=int, help="evenly chosen; all by default")
    parser.add_argument("--side", type=int, help="pixels of the middle of each image; the whole by default")
    parser.add_argument("--csv", type=Path, help="write one row per cell here")
    parser.add_argument("--table", type=Path, help="read those rows instead of asking the networks")
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()
    if options.table:
        cells = pd.read_csv(options.table)
    else:
        name = "samples" if options.quick else options.data
        cells = collect(load_dataset(name).split(options.split).labelled(), options.images, options.side)
    if options.csv:
        cells.to_csv(options.csv, index=False)
    inner = cells[cells["inner"]]
    print(f"{inner['image'].nunique()} images, {len(inner)} cells, {(~inner['right']).mean():.1%} wrong")
    print(summarized(cells).round(3).to_string())


if __name__ == "__main__":
    main()
