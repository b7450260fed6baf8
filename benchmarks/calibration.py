"""Make scores of cells probabilities, and see how far they can be relied on.

    python -m benchmarks.calibration --data FOLDER [--model lite] [--images 170] [--write] [--csv FILE]

What the network says about the cells that it finds (`inference.evidence`) is compared with whether they match
a true cell at IoU 0.5. Three numbers of a logistic function are fitted to training images, each image with
the square root of its cells for weight, so that crowded images do not decide alone; cells at the border are
left out. They are checked on validation images, by modality, and on simulated images, whose truth is exact:
the expected calibration error (ECE, mean distance between score and share of right cells in ten bins) and the
area under the ROC curve (AUC), beside those of the mean probability, which is the score without them.

``--write`` stores the numbers in the record beside the model's weights, whose file stays as it is, and for a
model of the kit draws ``docs/calibration.png``. ``--quick`` fits to a few simulated images and stores
nothing.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from tqdm.auto import tqdm

from maunet_lite.data import CellDataset, atomic_path, load_dataset
from maunet_lite.evaluation import errors
from maunet_lite.figures import SERIES, tidy
from maunet_lite.inference import evidence, predict_sized, score_cells
from maunet_lite.network import MAUNet, find_checkpoint, load_model, shipped_models
from maunet_lite.network.checkpoints.files import record_paths
from maunet_lite.postprocessing import segment

FIGURE = Path(__file__).parents[1] / "docs" / "calibration.png"
BINS = 10
FEWEST = 20  # cells in a bin of the figure
SUMS = ["pixels", "said", "differs"]


def inner_cells(labels: np.ndarray, border: int = 2) -> np.ndarray:
    """Return for each cell, in the order of ids, whether it stays clear of the border."""
    frame = np.ones(labels.shape, dtype=bool)
    frame[border:-border, border:-border] = False
    return ~np.isin(np.setdiff1d(labels, [0]), labels[frame])


def right_cells(truth: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Return for each cell, in the order of ids, whether it matches a true cell at IoU 0.5."""
    return np.isin(np.setdiff1d(labels, [0]), errors(truth, labels).matched[:, 1])


def judged(model: MAUNet, data: CellDataset, n_images: int | None = None) -> pd.DataFrame:
    """Segment images, evenly chosen, and return a row per cell: evidence, and whether it is right."""
    tables = []
    for k in tqdm(np.unique(np.linspace(0, len(data) - 1, n_images or len(data)).astype(int)), unit="image"):
        sample = data[int(k)]
        maps = predict_sized(model, sample.image, device="cpu").maps
        labels = segment(maps, keep_steps=False).labels
        table = pd.DataFrame(evidence(maps, labels), columns=SUMS)
        table = table.assign(image=k, modality=sample.modality, right=right_cells(sample.labels, labels))
        tables.append(table[inner_cells(labels)])
    return pd.concat(tables, ignore_index=True)


def fit(cells: pd.DataFrame) -> list[float]:
    """Return constant and factors of the logistic function, see `inference.score_cells`."""
    means = cells[SUMS[1:]].div(cells["pixels"], axis=0).to_numpy()
    weights = cells.groupby("image")["right"].transform("size") ** -0.5
    model = LogisticRegression(C=100.0).fit(means, cells["right"], sample_weight=weights)
    return np.round([*model.intercept_, *model.coef_[0]], 3).tolist()


def reliability(score: np.ndarray, right: np.ndarray) -> pd.DataFrame:
    """Return mean score, share of right cells and number of cells in bins of equal width."""
    table = pd.DataFrame({"score": score, "right": right})
    place = np.minimum((score * BINS).astype(int), BINS - 1)
    return table.groupby(place).agg(score=("score", "mean"), right=("right", "mean"), cells=("right", "size"))


def quality(score: np.ndarray, right: np.ndarray) -> tuple[float, float]:
    """Return ECE and AUC; the AUC is NaN if all cells are right, or none is."""
    bins = reliability(score, right)
    ece = float(((bins["score"] - bins["right"]).abs() * bins["cells"]).sum() / bins["cells"].sum())
    return ece, float(roc_auc_score(right, score)) if 0 < np.mean(right) < 1 else float("nan")


def checked(cells: pd.DataFrame, model: MAUNet) -> pd.DataFrame:
    """Return one row per modality, and one for all: cells, right ones, ECE and AUC with and without."""
    rows: dict[str, dict[str, Any]] = {}
    groups = [*cells.groupby("modality"), ("all", cells)]
    for name, part in groups:
        sums, right = part[SUMS].to_numpy(), part["right"].to_numpy()
        calibrated, raw = quality(score_cells(model, sums), right), quality(score_cells([], sums), right)
        rows[name] = {"images": part["image"].nunique(), "cells": len(part), "right": right.mean()}
        rows[name] |= dict(zip(("ECE", "AUC", "ECE raw", "AUC raw"), (*calibrated, *raw), strict=True))
    return pd.DataFrame.from_dict(rows, orient="index")


def draw(parts: dict[str, pd.DataFrame], model: MAUNet) -> Figure:
    """Draw share of right cells against score, by modality, a panel for each set of images."""
    figure = Figure(figsize=(4.2 * len(parts), 4), layout="constrained")
    panels = figure.subplots(1, len(parts), sharey=True, squeeze=False)[0]
    for axes, (title, cells) in zip(panels, parts.items(), strict=True):
        axes.plot([0, 1], [0, 1], color="0.7", linestyle="--", linewidth=1)
        for color, (name, part) in zip(SERIES, cells.groupby("modality"), strict=False):
            part = part.assign(score=score_cells(model, part[SUMS].to_numpy()))
            n_bins = min(BINS, max(1, len(part) // FEWEST))  # of as many cells each
            bins = part.groupby(pd.qcut(part["score"], n_bins, duplicates="drop"), observed=True)
            points = bins[["score", "right"]].mean()
            axes.plot(points["score"], points["right"], "o-", color=color, label=f"{name} ({len(part):,})")
        axes.set(title=title, xlabel="score", xlim=(0, 1), ylim=(0, 1.02), aspect="equal")
        axes.legend(frameon=False, fontsize=8, loc="upper left", title="modality (cells)", title_fontsize=8)
        tidy(axes)
    figure.axes[0].set_ylabel("share of cells that are right")
    return figure


def store(model: str, numbers: list[float]) -> Path:
    """Write the numbers into the record beside the weights, and leave the weights alone."""
    path = next(path for path in record_paths(find_checkpoint(model)) if path.exists())
    content = json.loads(path.read_text(encoding="utf-8"))
    content["record"].setdefault("settings", {})["score"] = numbers
    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    return path


def main() -> None:
    """Fit, check, print, and store and draw if asked to."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", default="simulated")
    parser.add_argument("--model", default="lite")
    parser.add_argument("--images", type=int, default=170, help="to fit to")
    parser.add_argument("--write", action="store_true", help="store the numbers and draw the figure")
    parser.add_argument("--csv", type=Path, help="write one row per validation cell here")
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()
    model, data = load_model(options.model), load_dataset("simulated" if options.quick else options.data)
    n_images = 12 if options.quick else options.images
    numbers = fit(judged(model, data.split("train").labelled(), n_images))
    model.settings["score"] = numbers
    print(f"{options.model}: constant, factors of probability and of difference: {numbers}")
    parts = {"validation": judged(model, data.split("val").labelled())}
    if not options.quick:
        parts["simulated"] = judged(model, load_dataset("simulated"))
    for name, cells in parts.items():
        print(f"\n{name} images of {options.data if name == 'validation' else 'all splits'}")
        print(checked(cells, model).round(3).to_string())
    if options.csv:
        parts["validation"].to_csv(options.csv, index=False)
    if options.write and not options.quick:
        print(f"\nstored in {store(options.model, numbers)}")
        if options.model in shipped_models():
            draw(parts, model).savefig(FIGURE, dpi=110)
            print(f"drawn in {FIGURE}")


if __name__ == "__main__":
    main()
