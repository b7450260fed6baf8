"""The same jobs on this code and on an earlier commit, in turn, in one run: did a change cost speed?

    python -m benchmarks.beside HEAD~1                  # all jobs, some five minutes
    python -m benchmarks.beside v0.1.0 --jobs start targets --rounds 5

Each job is a few lines that both commits understand, in a fresh process with one thread; commits take turns,
and the fastest round of each counts. CPU seconds, which a busy machine disturbs least; ratios travel to other
machines. Jobs report what they computed, too (a checksum): where it differs, the row says so.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import subprocess
import sys
import time
import zlib
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


def find(name: str, *modules: str) -> Any:
    """Return a name from the first of the kit's modules that has it: old commits have other paths."""
    for module in modules:
        try:
            return getattr(importlib.import_module(f"maunet_lite.{module}"), name)
        except (ImportError, AttributeError):
            continue
    raise ImportError(f"no {name} in any of {', '.join(modules)}")


def timed(work: Callable[[], Any], repeats: int) -> tuple[float, Any]:
    """Return the least CPU seconds of some calls, after one that does not count, and the last result."""
    result, least = work(), float("inf")
    for _ in range(repeats):
        started = time.process_time()
        result = work()
        least = min(least, time.process_time() - started)
    return least, result


def cells(side: int) -> tuple[Any, Any]:
    """Return a simulated image of about `side` × `side` pixels and its labels, one tile repeated."""
    import numpy as np

    import maunet_lite as ml

    image, labels = ml.simulate("fluorescence", (512, 512), rng=np.random.default_rng(0))[:2]
    times = max(1, round(side / 512))
    ids = np.arange(times**2).reshape(times, times).repeat(512, 0).repeat(512, 1) * int(labels.max())
    labels = np.tile(labels, (times, times))
    return np.tile(image, (times, times)), np.where(labels > 0, labels + ids, 0).astype(np.int32)


# --- jobs: each returns CPU seconds and something to compare ------------------------------------------


def targets() -> tuple[float, Any]:
    """Class map and distance field of a megapixel."""
    import maunet_lite as ml

    labels = cells(1024)[1]
    seconds, made = timed(lambda: ml.make_targets(labels), 5)
    return seconds, made.classes


def network(preset: str = "lite", side: int = 1024) -> tuple[float, Any]:
    """Maps of an image, windows and stitching included."""
    import torch

    import maunet_lite as ml

    torch.manual_seed(0)
    model = ml.load_model("lite") if preset == "lite" else ml.build_model(preset)
    image = cells(side)[0]
    seconds, maps = timed(lambda: ml.predict(model, image, device="cpu"), 3)
    return seconds, (maps.distance * 100).round().astype("uint8")


def paper_network() -> tuple[float, Any]:
    """The same by the paper's ResNet50, with random weights."""
    return network("paper-r50", 512)


def postprocessing() -> tuple[float, Any]:
    """Cells from the maps of four megapixels."""
    import numpy as np

    segment = find("segment", "postprocessing")
    maps_of = find("Maps", "postprocessing", "maps")
    import maunet_lite as ml

    made = ml.make_targets(cells(2048)[1])
    noise = np.random.default_rng(0).uniform(0, 0.3, (3, *made.classes.shape)).astype(np.float32)
    chance = np.stack([made.classes == k for k in range(3)]) * np.float32(0.7) + noise
    maps = maps_of(chance / chance.sum(axis=0), made.distance)
    return timed(lambda: segment(maps, keep_steps=False).labels, 3)


def scale() -> tuple[float, Any]:
    """A slide of nine megapixels in blocks, from file to file."""
    import tifffile

    segment_slide = find("segment_slide", "scale", "slides")
    with TemporaryDirectory() as folder:
        source, out = Path(folder) / "slide.tif", Path(folder) / "cells.tif"
        tifffile.imwrite(source, cells(3072)[0], tile=(512, 512), compression="zlib")
        options = {"memory": "2GiB", "block": 1024, "device": "cpu", "progress": False, "resume": False}
        seconds, _ = timed(lambda: segment_slide(source, out, **options), 1)
        return seconds, tifffile.imread(out)


def growth() -> tuple[float, Any]:
    """Pixels times sixteen: seconds at 2048² over those at 512², per pixel."""
    import maunet_lite as ml

    small, large = cells(512)[0], cells(2048)[0]
    few = timed(lambda: ml.segment(small, device="cpu"), 5)[0]
    many, labels = timed(lambda: ml.segment(large, device="cpu"), 1)
    return many / few / 16, labels


def _dataset(folder: Path) -> Any:
    import maunet_lite as ml

    simulate_dataset = find("simulate_dataset", "data", "simulation")
    simulate_dataset(folder, n_per_modality=4, shape=(512, 512), seed=0, progress=False)
    return ml.load_dataset(folder)


def patches() -> tuple[float, Any]:
    """A hundred augmented training patches of 256 × 256."""
    dataset_of = find("PatchDataset", "preprocessing", "patches")
    recipe = find("recipe", "training", "recipes")("lite")
    with TemporaryDirectory() as folder:
        data = _dataset(Path(folder) / "data").split("train")
        os.environ["MAUNET_DATA"] = folder
        drawn = dataset_of(data, 1000, recipe.augmentation, recipe.targets, seed=0)
        seconds, _ = timed(lambda: [drawn[k] for k in range(100)], 3)
    return seconds, None  # draws may differ from commit to commit


def training() -> tuple[float, Any]:
    """Twenty training steps of `lite`, less those of a run of two: what eighteen cost."""
    config = find("recipe", "training", "recipes")("lite")
    train = find("train", "training")
    with TemporaryDirectory() as folder:
        _dataset(Path(folder) / "data")
        os.environ["MAUNET_DATA"] = folder
        seconds = []
        for steps in (2, 2, 20):
            run = config.override(
                data=f"{folder}/data", out=f"{folder}/run-{len(seconds)}", steps=steps, validate_every=0,
                save_every=0, validation_images=1, device="cpu", workers=0,
            )  # fmt: skip
            started = time.process_time()
            train(run)
            seconds.append(time.process_time() - started)
    return seconds[2] - seconds[1], None


def start() -> tuple[float, Any]:
    """``maunet-lite segment`` on a thumbnail, from the start of Python to the written label map."""
    import maunet_lite as ml

    write_image = find("write_image", "data", "images")
    code = "from maunet_lite.cli import main; main()"
    with TemporaryDirectory() as folder:
        write_image(Path(folder) / "a.png", cells(512)[0][:64, :96])
        command = [sys.executable, "-c", code, "segment", f"{folder}/a.png", "--out", f"{folder}/out"]
        seconds = []
        for _ in range(3):
            before = os.times()
            subprocess.run([*command, "--overwrite", "--device", "cpu"], check=True, capture_output=True)
            after = os.times()
            seconds.append(sum(after[2:4]) - sum(before[2:4]))
        return min(seconds), ml.read_labels(Path(folder) / "out" / "a_label.tiff")


def help_page() -> tuple[float, Any]:
    """``maunet-lite --help``."""
    code = "from maunet_lite.cli import main; main()"
    seconds = []
    for _ in range(3):
        before = os.times()
        subprocess.run([sys.executable, "-c", code, "--help"], check=True, capture_output=True)
        after = os.times()
        seconds.append(sum(after[2:4]) - sum(before[2:4]))
    return min(seconds), None


JOBS = {
    job.__name__: job
    for job in (
        start, help_page, targets, network, paper_network, postprocessing, scale, growth, patches, training
    )
}  # fmt: skip


# --- both commits in turn -----------------------------------------------------------------------------


def ask(tree: Path, job: str) -> dict[str, Any]:
    """Run a job with the code of `tree` in a process of its own."""
    environment = os.environ | {"PYTHONPATH": str(tree)} | dict.fromkeys(THREADS, "1")
    command = [sys.executable, __file__, "--one", job]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=tree, check=False)
    if done.returncode:
        raise RuntimeError(f"{job} failed in {tree}:\n{done.stderr[-2000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    """Print a row for each job."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("commit", nargs="?", help="what to compare with, as git names it")
    parser.add_argument("--jobs", nargs="+", choices=JOBS, default=list(JOBS))
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--one", choices=JOBS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        import cv2

        cv2.setNumThreads(1)
        seconds, made = JOBS[options.one]()
        print(json.dumps({"seconds": seconds, "made": None if made is None else zlib.crc32(made.tobytes())}))
        return
    if not options.commit:
        parser.error("name a commit to compare with, for example HEAD~1")
    with TemporaryDirectory() as folder:
        old = Path(folder) / "old"
        subprocess.run(["git", "-C", ROOT, "worktree", "add", "--detach", old, options.commit], check=True)
        try:
            print(f"{'job':16}{'before':>10}{'now':>10}{'ratio':>8}   results")
            for job in options.jobs:
                rounds = [(ask(old, job), ask(ROOT, job)) for _ in range(options.rounds)]
                before, now = (min(pair[k]["seconds"] for pair in rounds) for k in (0, 1))
                same = {pair[0]["made"] == pair[1]["made"] for pair in rounds}
                verdict = "differ" if same != {True} else "" if rounds[0][0]["made"] is None else "equal"
                print(f"{job:16}{before:10.3f}{now:10.3f}{now / before:8.2f}   {verdict}", flush=True)
        finally:
            subprocess.run(["git", "-C", ROOT, "worktree", "remove", "--force", old], check=True)


if __name__ == "__main__":
    main()
