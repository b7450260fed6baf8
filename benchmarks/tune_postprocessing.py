"""Compare settings of the post-processing on real images: the table behind the defaults.

    python -m benchmarks.tune_postprocessing --data FOLDER [--model lite] [--csv FILE] [--quick]

Maps are predicted once. Then come the named settings (none, paper, authors, default), and the default with
one number changed at a time. F1 at IoU 0.5 by the challenge's rules, mean over images.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from tqdm.auto import tqdm

from maunet_lite.data import CellDataset, load_dataset
from maunet_lite.evaluation import match_cells
from maunet_lite.inference import predict, resolve_device
from maunet_lite.network import load_model
from maunet_lite.postprocessing import Maps, PostprocessConfig, segment

NAMED = ("none", "paper", "authors", "default")
CHANGES: dict[str, tuple[float | bool | str, ...]] = {
    "foreground": (0.2, 0.4, 0.5, 0.6),
    "interior": (0.4, 0.5, 0.6, 0.8),
    "sure_interior": (0.0, 0.8, 0.95),
    "min_interior": (8, 16),
    "blur": (0.5, 0.75, 1.25, 1.5),
    "skeleton": (0.7, 0.75, 0.85),
    "peak_distance": (0.15, 0.35, 0.5),
    "peak_height": (0.5, 0.7, 0.8),
    "keep_unmarked": (False,),
    "min_size": (0.0, 0.2, 0.25, 0.3),
    "relief": ("flat",),
}


class Case(NamedTuple):
    """One image's truth and the network's maps of it."""

    modality: str
    truth: np.ndarray
    maps: Maps


def cases(model: str, data: CellDataset, device: str) -> list[Case]:
    """Predict the maps of every labelled image."""
    target = resolve_device(device)
    network = load_model(model, target)
    return [
        Case(sample.modality, sample.labels, predict(network, sample.image, device=target))
        for sample in tqdm(data.labelled(), desc="maps", unit="image")
    ]


def settings(quick: bool) -> Iterator[tuple[str, PostprocessConfig]]:
    """Yield the named settings, then the default with one number changed."""
    for name in NAMED:
        yield name, PostprocessConfig.named(name)
    default = PostprocessConfig.named("default")
    for field, values in {} if quick else CHANGES.items():
        for value in values:
            if value != getattr(default, field):
                yield f"{field}={value}", replace(default, **{field: value})


def score(config: PostprocessConfig, images: list[Case]) -> dict[str, float]:
    """Return the mean F1 by modality and over all images."""
    f1 = [match_cells(case.truth, segment(case.maps, config).labels).f1 for case in images]
    table = pd.DataFrame({"modality": [case.modality for case in images], "f1": f1})
    return {"all": table["f1"].mean()} | table.groupby("modality")["f1"].mean().to_dict()


def main() -> None:
    """Print the table, and write it if asked to."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", default="samples")
    parser.add_argument("--model", default="lite")
    parser.add_argument("--split", default="val")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--csv", type=Path, help="write the table here")
    parser.add_argument("--quick", action="store_true", help="the named settings only")
    options = parser.parse_args()
    images = cases(options.model, load_dataset(options.data).split(options.split), options.device)
    rows = {
        name: score(config, images) for name, config in tqdm(list(settings(options.quick)), unit="setting")
    }
    table = pd.DataFrame(rows).T.round(4)
    table.index.name = "setting"
    print(f"F1 on {options.split} of {options.data}, {len(images)} images, model {options.model}")
    print(table.to_string())
    if options.csv:
        options.csv.parent.mkdir(parents=True, exist_ok=True)
        table.to_csv(options.csv)
        print(f"table: {options.csv}")


if __name__ == "__main__":
    main()
