"""The paper's Table 6: seconds by stage and memory for four sizes of image, beside the published figures.

    python -m benchmarks.scale                         # all four sizes; minutes on two cores
    python -m benchmarks.scale --quick                 # without the two larger ones
    python -m benchmarks.scale --sizes 3000x3000 --repeat 3 --again
    python -m benchmarks.scale --device cuda           # also the paper's two networks at its three scales
    python -m benchmarks.scale --save                  # and keep the table in benchmarks/results

Each image is segmented in a fresh process, from the start of Python to the written label map; images that are
too large for `--memory` go through `segment_slide`. There, the next block is in the network while one is
post-processed, so the stages add up to more than the total. What has been measured at the same commit is not
measured again without `--again`.

The published figures are of another machine (RTX 3090, their Docker image with two networks at three scales,
one scale above 25 megapixels) and other images of the same size: a ratio to them says what a user waits, not
which code is better. Networks without trained weights (`--networks` names trained ones) do their work, and
`lite` answers in their place, so that the post-processing has real cells to separate; for an image in blocks
the seconds of these answers are part of the total, else they are not.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import pandas as pd

from benchmarks.__main__ import machine
from benchmarks.one_image import RECIPES, STAGES, make_image, measure
from benchmarks.ship_weights import commit

SIZES = {
    "640x480": (480, 640),
    "1024x1024": (1024, 1024),
    "3000x3000": (3000, 3000),
    "8415x10496": (8415, 10496),
}
QUICK = ("640x480", "1024x1024")
PAPER = {  # Table 6: seconds, MiB of GPU memory
    "640x480": (9.67, 2884),
    "1024x1024": (10.35, 3024),
    "3000x3000": (18.56, 5886),
    "8415x10496": (74.16, 8592),
}
KEYS = ["size", "recipe", "device", "memory", "commit"]
RESULTS = Path(__file__).parent / "results"


def rows_of(options: argparse.Namespace, table: Path) -> list[dict[str, Any]]:
    """Measure what is asked for and not known yet; the table is written after each image."""
    known = {} if options.again else read_table(table)
    at = commit()
    pairs = [(size, recipe) for recipe in options.recipes for size in options.sizes]
    wanted = [(*pair, options.device, options.memory, at) for pair in pairs]
    for key in wanted:
        size, recipe = key[:2]
        if key in known:
            continue
        image = make_image(table.parent / "images" / f"{size}.tif", SIZES[size])
        repeat = options.repeat or (3 if SIZES[size][0] <= 3000 else 1)
        try:
            budgets = options.memory, options.networks, repeat, options.gpu_memory
            row = measure(image, recipe, options.device, *budgets)
        except RuntimeError as error:  # the others are still worth measuring
            print(f"{error}\n", flush=True)
            continue
        known[key] = dict(zip(KEYS, key, strict=True)) | row
        pd.DataFrame(known.values()).to_csv(table, index=False)
    return [known[key] for key in wanted if key in known]


def read_table(table: Path) -> dict[tuple[str, ...], dict[str, Any]]:
    """Return what has been measured, by size, recipe, device, memory and commit."""
    if not table.exists():
        return {}
    rows = pd.read_csv(table, dtype={"commit": str}).to_dict("records")
    return {tuple(row[name] for name in KEYS): row for row in rows}


def to_markdown(rows: list[dict[str, Any]]) -> str:
    """Return one line per image, with the paper's seconds and memory beside ours."""
    header = [
        "size",
        "recipe",
        "cells",
        *(f"{stage} / s" for stage in STAGES),
        "total / s",
        "paper / s",
        "ratio",
    ]
    header += ["RAM / MiB", "GPU / MiB", "paper GPU / MiB"]
    lines = [f"| {' | '.join(header)} |", "|---" * len(header) + "|"]
    for row in rows:
        seconds, gpu = PAPER[row["size"]]
        fields = [row["size"].replace("x", "×"), row["recipe"], f"{row['cells']:,}"]
        fields += [f"{row[name]:.2f}" for name in (*STAGES, "total")]
        fields += [f"{seconds:.2f}", f"{row['total'] / seconds:.2f}", f"{row['ram_mib']:,.0f}"]
        fields += ["–" if pd.isna(row["gpu_mib"]) else f"{row['gpu_mib']:,.0f}", f"{gpu:,}"]
        lines.append(f"| {' | '.join(fields)} |")
    return "\n".join(lines)


def parse() -> Any:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="the two small sizes, once")
    parser.add_argument("--sizes", nargs="+", choices=SIZES, default=list(SIZES))
    parser.add_argument("--recipes", nargs="+", choices=RECIPES, help="lite on a CPU, both on a GPU")
    parser.add_argument("--networks", nargs="*", default=[], help="trained networks for the paper's recipe")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--memory", default="4GiB", help="budget; larger images go in blocks")
    parser.add_argument("--gpu-memory", default="6GiB", help="for weights, maps and windows on a GPU")
    parser.add_argument("--repeat", type=int, help="runs, of which the fastest counts; 3, of the largest 1")
    parser.add_argument("--again", action="store_true", help="also measure what is known")
    parser.add_argument("--out", type=Path, default=Path("out/scale"), help="folder of images and table")
    parser.add_argument("--save", action="store_true", help="keep the table in benchmarks/results")
    options = parser.parse_args()
    if options.quick:
        options.sizes, options.repeat = [s for s in options.sizes if s in QUICK], options.repeat or 1
    options.recipes = options.recipes or (RECIPES if options.device.startswith("cuda") else ["lite"])
    return options


def main() -> None:
    """Measure, and print one table."""
    options = parse()
    options.out.mkdir(parents=True, exist_ok=True)
    table = options.out / "scale.csv"
    rows = rows_of(options, table)
    print(f"{machine()}\n\n{to_markdown(rows)}\n")
    for row in rows:
        if row["blocks"] > 1:
            print(f"{row['size']} went in {row['blocks']} blocks within {options.memory}")
    if len(rows) < len(options.sizes) * len(options.recipes):
        raise SystemExit("not everything could be measured; see above")
    if options.save:
        name = "scale.csv" if options.device == "cpu" else "scale_gpu.csv"
        pd.DataFrame(rows).to_csv(RESULTS / name, index=False)
    print(f"table: {table}")


if __name__ == "__main__":
    main()
