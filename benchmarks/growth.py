"""How time and memory grow: against pixels at a fixed density of cells, and against cells at fixed pixels.

    python -m benchmarks.growth                  # 0.3 to 100 megapixels, 9 megapixels with few to many cells
    python -m benchmarks.growth --quick          # up to 3 megapixels
    python -m benchmarks.growth --save           # and keep table and plot in benchmarks/results

Each point is one image in a fresh process, from file to label map (`one_image`). An exponent is the slope of
a straight line through all points of a curve on logarithmic axes: 1 means twice the pixels, twice the time.
Seconds are counted without start-up, memory above what the process held before the image; both start from a
fixed cost, so that exponents of small images lie below those of large ones. The steepest step between two
neighbours is printed, too: a curve that bends upwards at its end shows there.
"""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.__main__ import machine
from benchmarks.one_image import make_image, measure
from benchmarks.scale import RESULTS
from benchmarks.ship_weights import commit

MEGAPIXELS = (0.3, 1.0, 3.0, 10.0, 30.0, 100.0)
DIAMETERS = (80, 56, 40, 28, 20, 14)  # of cells in pixels: each step about twice as many of them
DIAMETER = 20
CURVES = {
    "work": "all but the start",
    "network": "network",
    "postprocessing": "post-processing",
    "memory": "memory",
}
LIMIT = 1.1
KEYS = ["against", "megapixels", "diameter", "memory_budget", "commit"]


def points(quick: bool) -> list[tuple[str, float, int]]:
    """Return what is measured: the axis, megapixels and the diameter of the cells."""
    pixels = [("pixels", mp, DIAMETER) for mp in MEGAPIXELS if mp <= (3 if quick else 100)]
    fixed, diameters = (1.0, DIAMETERS[::2]) if quick else (9.0, DIAMETERS)
    return pixels + [("cells", fixed, diameter) for diameter in diameters]


def measure_all(options: argparse.Namespace, table: Path) -> pd.DataFrame:
    """Measure all points that are not known yet; the table is written after each."""
    known = {}
    if table.exists() and not options.again:
        rows = pd.read_csv(table, dtype={"commit": str}).to_dict("records")
        known = {tuple(row[name] for name in KEYS): row for row in rows}
    wanted = [(*point, options.memory, commit()) for point in points(options.quick)]
    for key in wanted:
        if key in known:
            continue
        against, megapixels, diameter = key[:3]
        side = round(1000 * megapixels**0.5)
        image = make_image(table.parent / "images" / f"{side}_{diameter}.tif", (side, side), diameter)
        repeat = options.repeat or (1 if options.quick or megapixels > 10 else 3)
        row = measure(image, "lite", options.device, options.memory, [], repeat)
        row |= {"pixels": side**2, "work": row["total"] - row["start"]}
        row |= {"memory": row["ram_mib"] - row["base_mib"]}
        known[key] = dict(zip(KEYS, key, strict=True)) | row
        pd.DataFrame(known.values()).to_csv(table, index=False)
        print(f"{against}: {side} × {side}, {row['cells']:,} cells, {row['work']:.1f} s", flush=True)
    return pd.DataFrame([known[key] for key in wanted])


def exponent(x: np.ndarray, y: np.ndarray) -> float:
    """Return the slope of the line through all points on logarithmic axes.

    >>> exponent(np.array([1, 10, 100]), np.array([2, 20, 200])).round(6)
    np.float64(1.0)
    """
    return np.polyfit(np.log(x), np.log(np.maximum(y, 1e-3)), 1)[0]


def steepest(x: np.ndarray, y: np.ndarray) -> float:
    """Return the largest slope between two neighbours on logarithmic axes."""
    return float((np.diff(np.log(np.maximum(y, 1e-3))) / np.diff(np.log(x))).max())


def fits(table: pd.DataFrame) -> pd.DataFrame:
    """Return the exponent of each curve against pixels and against cells."""
    rows = []
    for against in ("pixels", "cells"):
        part = table[table["against"] == against].sort_values(against)
        x = part[against].to_numpy(float)
        for name, label in CURVES.items():
            y = part[name].to_numpy(float)
            slope = exponent(x, y)
            verdict = "above" if slope > LIMIT else "yes"
            row = {"what": label, "against": against, "exponent": slope, "steepest step": steepest(x, y)}
            rows.append(row | {f"at most {LIMIT}": verdict})
    return pd.DataFrame(rows)


def draw(table: pd.DataFrame, found: pd.DataFrame, path: Path) -> None:
    """Draw seconds and memory against pixels, and against cells."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, panels = plt.subplots(2, 2, figsize=(8, 6.4), sharex="col", layout="constrained")
    for column, against in enumerate(("pixels", "cells")):
        part = table[table["against"] == against].sort_values(against)
        scale = 1e-6 if against == "pixels" else 1
        for name, label in CURVES.items():
            axes = panels[int(name == "memory"), column]
            slope = found[(found["what"] == label) & (found["against"] == against)]["exponent"].iloc[0]
            axes.loglog(part[against] * scale, part[name], "o-", ms=4, label=f"{label}: exponent {slope:.2f}")
        for axes in panels[:, column]:
            low, high = axes.get_ylim()
            axes.set_ylim(low / 2, high * 3)  # room for the legend; small differences stay small
            axes.legend(fontsize=8, loc="upper left")
            axes.grid(alpha=0.3)
            for axis in (axes.xaxis, axes.yaxis):
                axis.set_major_formatter("{x:g}")
                axis.set_minor_formatter("")
        megapixels = part["megapixels"].iloc[0]
        panels[0, column].set_title(
            "equally dense cells" if against == "pixels" else f"{megapixels:g} megapixels"
        )
        panels[1, column].set_xlabel("megapixels" if against == "pixels" else "cells")
    panels[0, 0].set_ylabel("seconds")
    panels[1, 0].set_ylabel("MiB")
    figure.savefig(path, dpi=90)


def to_markdown(table: pd.DataFrame, columns: dict[str, str]) -> str:
    """Return some columns of a table, formatted."""
    lines = [f"| {' | '.join(columns)} |", "|---" * len(columns) + "|"]
    for row in table.to_dict("records"):
        lines.append(f"| {' | '.join(format(row[name], kind) for name, kind in columns.items())} |")
    return "\n".join(lines)


def main() -> None:
    """Measure, fit, print and draw."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="up to 3 megapixels, each once")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--memory", default="4GiB", help="budget; larger images go in blocks")
    parser.add_argument("--repeat", type=int, help="runs, of which the fastest counts; 3, of large images 1")
    parser.add_argument("--again", action="store_true", help="also measure what is known")
    parser.add_argument(
        "--out", type=Path, default=Path("out/growth"), help="folder of images, table and plot"
    )
    parser.add_argument("--save", action="store_true", help="keep table and plot in benchmarks/results")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    path = options.out / "growth.csv"
    table = measure_all(options, path)
    found = fits(table)
    shown = {"against": "", "megapixels": ".1f", "cells": ",.0f", "blocks": ".0f", "work": ".2f"}
    shown |= {"network": ".2f", "postprocessing": ".2f", "memory": ",.0f"}
    print(f"\n{machine()}\n\n{to_markdown(table, shown)}\n\nSeconds; memory in MiB.\n")
    columns = {"what": "", "against": "", "exponent": ".2f", "steepest step": ".2f", f"at most {LIMIT}": ""}
    print(f"{to_markdown(found, columns)}\n")
    plot = options.out / "growth.png"
    draw(table, found, plot)
    if options.save:
        table.to_csv(RESULTS / path.name, index=False)
        shutil.copy(plot, RESULTS / plot.name)
    print(f"table: {path}; plot: {plot}")


if __name__ == "__main__":
    main()
