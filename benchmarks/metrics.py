"""Seconds and memory of cell matching and panoptic quality, beside a dense matrix and beside MONAI.

    python -m benchmarks.metrics              # a minute or two
    python -m benchmarks.metrics --monai 900  # MONAI on 900 cells too: minutes more

All competitors of a row get the same pair of label maps in the same run; only the ratios travel to other
machines. Memory is the peak of what NumPy allocates beside the two maps.
"""

from __future__ import annotations

import argparse
import time
import tracemalloc
from collections.abc import Callable

import numpy as np
from scipy.optimize import linear_sum_assignment

from maunet_lite.evaluation import Match, match_cells

# cells, edge in pixels
SIZES = ((225, 512), (900, 1024), (10_000, 3_400), (30_000, 4_900), (120_000, 10_000))
DENSE_LIMIT_GB = 4.0


def disks(cells: int, edge: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return round cells on a grid, and a prediction: shifted, renumbered, a tenth of them missing."""
    rng = np.random.default_rng(seed)
    per_row = int(np.ceil(np.sqrt(cells)))
    pitch = edge / per_row
    row, column = np.indices((edge, edge), dtype=np.float32)
    ids = (row // pitch).astype(np.int32) * per_row + (column // pitch).astype(np.int32) + 1
    inside = (row % pitch - pitch / 2) ** 2 + (column % pitch - pitch / 2) ** 2 < (0.45 * pitch) ** 2
    truth = np.where(inside & (ids <= cells), ids, 0).astype(np.int32)
    new_ids = rng.permutation(per_row**2).astype(np.int32) + 1
    new_ids[rng.random(per_row**2) < 0.1] = 0
    shifted = np.roll(truth, (int(0.1 * pitch), int(0.06 * pitch)), axis=(0, 1))
    return truth, np.where(shifted > 0, new_ids[shifted - 1], 0).astype(np.int32)


def dense_match(truth: np.ndarray, prediction: np.ndarray, iou: float = 0.5) -> Match:
    """Count matches with one (cells × cells) matrix and one assignment of all to all."""
    n_truth, n_prediction = int(truth.max()) + 1, int(prediction.max()) + 1
    pairs = truth.ravel().astype(np.int64) * n_prediction + prediction.ravel()
    shared = np.bincount(pairs, minlength=n_truth * n_prediction).reshape(n_truth, n_prediction)
    truth_area, prediction_area = shared.sum(axis=1), shared.sum(axis=0)
    cells, predicted = truth_area[1:] > 0, prediction_area[1:] > 0
    shared = shared[1:, 1:][np.ix_(cells, predicted)]
    table = shared / (truth_area[1:][cells, None] + prediction_area[1:][predicted] - shared)
    rows, columns = linear_sum_assignment(-(table >= iou).astype(float) - table / (2 * min(table.shape)))
    tp = int((table[rows, columns] >= iou).sum())
    return Match(tp, int(predicted.sum()) - tp, int(cells.sum()) - tp)


def monai_quality(truth: np.ndarray, prediction: np.ndarray) -> float:
    """Panoptic quality by MONAI, one class."""
    import torch
    from monai.metrics import PanopticQualityMetric

    metric = PanopticQualityMetric(num_classes=1, metric_name="pq")
    # (1, 2, H, W): instances and classes
    tensors = [torch.from_numpy(np.stack([x, x > 0]).astype(np.int64))[None] for x in (prediction, truth)]
    metric(*tensors)
    return float(metric.aggregate())


def measure(work: Callable, *arguments) -> tuple[object, float, float]:
    """Return the result, the best seconds of up to three runs, and the peak megabytes of another one."""
    seconds: list[float] = []
    while len(seconds) < 3 and sum(seconds) < 20:
        start = time.perf_counter()
        result = work(*arguments)
        seconds.append(time.perf_counter() - start)
    if min(seconds) > 20:  # tracing would take as long again
        return result, min(seconds), float("nan")
    tracemalloc.start()
    work(*arguments)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return result, min(seconds), peak / 2**20


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cells", type=int, default=SIZES[-1][0], help="largest number of cells")
    parser.add_argument("--monai", type=int, default=225, help="most cells for MONAI (900 take minutes)")
    options = parser.parse_args()
    sizes = [(cells, edge) for cells, edge in SIZES if cells <= options.cells]

    print("match_cells, beside a dense matrix with one assignment (border 0)\n")
    print("|   cells | pixels   |  this kit, s | MB      | dense, s  | MB      | dense / kit |")
    print("|--------:|----------|-------------:|--------:|----------:|--------:|------------:|")
    for cells, edge in sizes:
        pair = disks(cells, edge)
        ours, seconds, megabytes = measure(lambda t, p: match_cells(t, p, border=0), *pair)
        row = f"| {cells:7,} | {edge:>5}²   | {seconds:12.3f} | {megabytes:7,.0f} |"
        needed = 2 * 8 * cells**2 / 1e9  # overlaps and IoUs
        if needed > DENSE_LIMIT_GB:
            print(f"{row}     needs | {needed * 1000:7,.0f} | {'–':>11} |")
            continue
        theirs, dense_seconds, dense_megabytes = measure(dense_match, *pair)
        assert ours == theirs, (ours, theirs)
        print(f"{row} {dense_seconds:9.3f} | {dense_megabytes:7,.0f} | {dense_seconds / seconds:10.1f}× |")

    print("\npanoptic quality, beside MONAI's (border 0)\n")
    print("|   cells | pixels   |  this kit, s | MONAI, s  | MONAI / kit |")
    print("|--------:|----------|-------------:|----------:|------------:|")
    for cells, edge in sizes:
        if cells > options.monai:
            continue
        pair = disks(cells, edge)
        ours, seconds, _ = measure(lambda t, p: match_cells(t, p, border=0), *pair)
        start = time.perf_counter()
        theirs = monai_quality(*pair)
        monai_seconds = time.perf_counter() - start
        assert abs(ours.pq - theirs) < 1e-3, (ours, theirs)
        row = f"| {cells:7,} | {edge:>5}²   | {seconds:12.4f} | {monai_seconds:9.2f} "
        print(f"{row}| {monai_seconds / seconds:10.0f}× |")


if __name__ == "__main__":
    main()
