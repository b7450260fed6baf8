"""What choosing the size of an image by itself brings, and what it costs.

    python -m benchmarks.size --data FOLDER [--model lite] [--split val] [--images N] [--csv FILE] [--save]

Three ways to show an image to the network: as it is, at the size that it estimates (``scales="auto"``), and
at the size that follows from the true median diameter. Printed are the mean F1 of each by modality, the
error of the estimate in octaves, the cost in passes (CPU time of the looks and the pass, over that of the
pass alone), and the F1 of five images per modality, 256 pixels of each, zoomed by 0.25 to 4. ``--save``
writes the means to ``benchmarks/results/size.csv``.

The constants that these numbers decide on stand on top of ``maunet_lite/inference/cells/size.py``.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
from tqdm.auto import tqdm

from benchmarks.training_runs import commit, refuse_other_data, write_table
from maunet_lite.data import CellDataset, load_dataset
from maunet_lite.evaluation import match_cells
from maunet_lite.inference import Sized, predict_sized, settings_of
from maunet_lite.network import MAUNet, load_model
from maunet_lite.postprocessing import segment

ZOOMS = (0.25, 0.4, 0.63, 1.0, 1.6, 2.5, 4.0)
WAYS = ("as it is", "auto", "true diameter")
SIDE = 256  # pixels of the image that is zoomed
ZOOMED = 5  # images of each modality that are
RESULTS = Path(__file__).parent / "results" / "size.csv"


def diameter_of(labels: np.ndarray) -> float:
    """Return the median diameter of cells, as of disks of equal area; NaN without cells."""
    areas = np.bincount(labels.ravel())[1:]
    return float(np.median(np.sqrt(4 / np.pi * areas[areas > 0]))) if areas.any() else float("nan")


def scored(model: MAUNet, image: np.ndarray, truth: np.ndarray, **how: Any) -> tuple[float, Sized]:
    """Return the F1 of an image, and how it was seen."""
    seen = predict_sized(model, image, device="cpu", **how)
    cells = segment(seen.maps, settings_of([model], "default"), keep_steps=False).labels
    return match_cells(truth, cells).f1, seen


def seconds(work: Callable[[], Any]) -> float:
    """Return the CPU time that something takes, which other programs do not lengthen."""
    began = time.process_time()
    work()
    return time.process_time() - began


def one_image(model: MAUNet, data: CellDataset, index: int) -> dict[str, Any]:
    """Return the scores of an image in the three ways, the estimate, and what it cost."""
    image, truth = data.image(index), data.labels(index)
    true = diameter_of(truth)
    known = {"diameter": true} if true > 0 else {"scales": (1.0,)}
    row = dict(data.table.iloc[index][["image", "modality"]]) | {"diameter": true, "pixels": truth.size}
    for way, how in zip(WAYS, ({"scales": (1.0,)}, {}, known), strict=True):
        row[way], seen = scored(model, image, truth, **how)
        if way == "auto":
            row |= {"estimate": seen.size.diameter, "scale": seen.size.scales[0]}
    both = seconds(lambda: predict_sized(model, image, device="cpu"))
    alone = seconds(lambda: predict_sized(model, image, (row["scale"],), device="cpu"))
    return row | {"both": both, "alone": alone, "passes": both / alone}


def zoomed(model: MAUNet, data: CellDataset, index: int) -> list[dict[str, Any]]:
    """Return the scores of the middle of an image at all zooms, as it is and at the estimated size."""
    middle = tuple(slice(max(0, n // 2 - SIDE // 2), n // 2 + SIDE // 2) for n in data.labels(index).shape)
    image, truth, rows = data.image(index)[middle], data.labels(index)[middle], []
    for zoom in ZOOMS:
        shape = [round(n * zoom) for n in truth.shape[::-1]]
        here = cv2.resize(image, shape, interpolation=cv2.INTER_AREA if zoom < 1 else cv2.INTER_LINEAR)
        cells = cv2.resize(truth.astype(np.int32), shape, interpolation=cv2.INTER_NEAREST_EXACT)
        for way, how in zip(WAYS, ({"scales": (1.0,)}, {}), strict=False):
            rows.append({"way": way, "zoom": zoom, "f1": scored(model, here, cells, **how)[0]})
    return rows


def long(table: pd.DataFrame, what: str) -> pd.DataFrame:
    """Return the means of `ways` by group as one row for each: what, group, way, f1."""
    rows = table.rename_axis(index="group", columns="way").stack().rename("f1").reset_index()
    return rows.assign(what=what)[["what", "group", "way", "f1"]].round({"f1": 4})


def main() -> None:
    """Print the tables, and write one row per image if asked to."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", default="simulated")
    parser.add_argument("--model", default="lite")
    parser.add_argument("--split", default="val")
    parser.add_argument("--images", type=int, help="evenly chosen; all by default")
    parser.add_argument("--csv", type=Path, help="write one row per image here")
    parser.add_argument("--save", action="store_true", help=f"write the means to results/{RESULTS.name}")
    options = parser.parse_args()
    if options.save:
        options.results = RESULTS
        refuse_other_data(options, RESULTS)
    model, data = load_model(options.model), load_dataset(options.data).split(options.split).labelled()
    chosen = np.unique(np.linspace(0, len(data) - 1, options.images or len(data)).astype(int))
    table = pd.DataFrame([one_image(model, data, int(k)) for k in tqdm(chosen, unit="image")])
    means = table.groupby("modality")[list(WAYS)].mean()
    means.loc["all"] = table[list(WAYS)].mean()
    print(f"Mean F1, {len(table)} images, split {options.split} of {options.data}, model {options.model}")
    print(means.round(3).to_string())
    octaves = np.log2(table["estimate"] / table["diameter"]).dropna()
    wrong = (octaves.abs() > 1).mean()
    print(f"error of the estimate: median {octaves.abs().median():.2f} octaves, {wrong:.0%} above one")
    large = table["pixels"] >= 700_000
    for what, part in (("up to 0.7 megapixels", table[~large]), ("larger", table[large])):
        print(f"passes, images {what}: {part['passes'].mean():.2f} in the mean (n = {len(part)})")
    print(f"passes, all images one after the other: {table['both'].sum() / table['alone'].sum():.2f}")
    places = [np.flatnonzero(data.table["modality"] == name) for name in data.modalities]
    few = [int(k) for at in places for k in at[np.unique(np.linspace(0, len(at) - 1, ZOOMED).astype(int))]]
    rows = pd.DataFrame([row for k in tqdm(few, unit="image") for row in zoomed(model, data, k)])
    print(f"F1 of {SIDE} pixels of {len(few)} images, zoomed")
    by_zoom = rows.pivot_table(index="zoom", columns="way", values="f1")
    print(by_zoom.T.round(3).to_string())
    if options.csv:
        write_table(table, options.csv)
    if options.save:
        images = {"modality": len(table), "zoom": len(few)}
        saved = pd.concat([long(means, "modality"), long(by_zoom, "zoom")])
        about = {"images": saved["what"].map(images), "model": options.model, "commit": commit()}
        write_table(saved.assign(**about), RESULTS)


if __name__ == "__main__":
    main()
