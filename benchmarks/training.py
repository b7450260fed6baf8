"""How fast training goes, and how long it waits for data, beside a plain loop.

    python -m benchmarks.training [--data FOLDER] [--steps N] [--preset lite]

The plain loop does what a first script would do: it reads each image and its label map for each patch,
normalises the image and computes its targets anew, augments with the same functions, and trains in the
default memory layout. All loops train the same network on the same number of patches, in this one run, one
after the other. Two more rows are the kit's loop in bfloat16 and compiled: whether they pay depends on the
processor.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd
import torch

from maunet_lite.data import CellDataset, load_dataset
from maunet_lite.preprocessing import (
    build_augmentation,
    make_targets,
    median_diameter,
    normalize,
    source_weights,
)
from maunet_lite.training import TrainConfig, build_network, recipe, supervised_loss, train


def plain_patch(data: CellDataset, config: TrainConfig, rng: np.random.Generator, augmentation) -> dict:  # noqa: ANN001
    """Read, normalise, compute targets and augment, all for one patch."""
    index = int(rng.choice(len(data), p=source_weights(data.table["source"].to_numpy(), config.balance)))
    labels, image = data.labels(index), np.ascontiguousarray(normalize(data.image(index)).transpose(2, 0, 1))
    if config.augmentation.sizes:  # targets are made of the window
        ids = np.where(labels > 0, labels + 255, 0)
        item = {"labels": np.stack([ids & 0xFFFF, ids >> 16]), "diameter": median_diameter(labels)}
    else:
        item = {name: part[None] for name, part in make_targets(labels)._asdict().items()}
    return augmentation({"image": image} | item)


def plain_loop(config: TrainConfig, steps: int) -> tuple[float, float]:
    """Return images per second and the share of time spent on data."""
    data = load_dataset(config.data).split("train").labelled()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    network = build_network(config).to(device)
    optimizer = torch.optim.AdamW(network.parameters(), lr=config.learning_rate)
    rng, augmentation = np.random.default_rng(config.seed), build_augmentation(config.augmentation)
    waited, started = 0.0, time.perf_counter()
    for _ in range(steps):
        asked = time.perf_counter()
        patches = [plain_patch(data, config, rng, augmentation) for _ in range(config.batch_size)]
        batch = torch.utils.data.default_collate(patches)
        waited += time.perf_counter() - asked
        image, classes, distance = (batch[name].to(device) for name in ("image", "classes", "distance"))
        loss = supervised_loss(network(image), classes[:, 0].long(), distance)["loss"]
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), config.clip_norm)
        optimizer.step()
    seconds = time.perf_counter() - started
    return steps * config.batch_size / seconds, waited / seconds


def kit_loop(config: TrainConfig, steps: int) -> tuple[float, float]:
    """Return images per second and the share of time spent waiting, images already prepared on disk."""
    with TemporaryDirectory() as folder:
        config = config.override(
            out=str(Path(folder) / "run"), steps=steps + 5, validate_every=0, save_every=0, log_every=5
        )
        config = config.override(validation_images=1)
        train(config, progress=False)
        log = pd.read_csv(Path(folder) / "run" / "log.csv")
    log = log[log["step"] > 5]  # the first steps warm up
    return float(1 / (1 / log["images_per_second"]).mean()), float(log["waiting_share"].mean())


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", default="simulated")
    parser.add_argument("--preset", default="lite")
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--quick", action="store_true", help="10 steps")
    options = parser.parse_args()
    steps = 10 if options.quick else options.steps
    config = recipe(options.preset).override(data=options.data, imagenet=False)
    kit_loop(config, 5)  # prepares the images and imports what is imported late
    rows = {
        "plain loop": plain_loop(config, steps),
        "this kit": kit_loop(config, steps),
        "  in bfloat16": kit_loop(config.override(precision="bfloat16"), steps),
    }
    if not options.quick:
        rows["  compiled"] = kit_loop(config.override(compile=True), steps)
    patch = config.augmentation.patch
    print(
        f"training {config.model} on {options.data}: "
        f"batches of {config.batch_size} patches of {patch} pixels, {steps} steps"
    )
    print(f"{'':14s} images/s   s per megapixel and step   waiting for data   ratio")
    for name, (rate, waiting) in rows.items():
        seconds = 1e6 / (rate * patch**2)
        print(
            f"{name:14s} {rate:8.1f}   {seconds:24.2f}   {waiting:15.0%}   "
            f"{rate / rows['plain loop'][0]:5.2f}"
        )


if __name__ == "__main__":
    main()
