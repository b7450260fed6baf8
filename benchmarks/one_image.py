"""One image from file to label map in a fresh process, with a clock on each stage; for `scale` and `growth`.

A process of its own is started for each measurement, so that start-up counts and the peak of memory is that
of this image alone. Simulated images of any size are laid out from small simulated fields; making them does
not count.
"""

from __future__ import annotations

import importlib
import json
import re
import subprocess
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from typing import Any

FIELD = 512  # side of the simulated fields that images are laid out from
STAGES = ("start", "read", "network", "postprocessing", "write")
WATCHED = [  # where the parts of `segment_slide` are looked up, and the stage that each counts for
    ("data.reading.slide", "Slide.read", "read"),
    ("scale.slides.job", "slide_scaling", "read"),
    ("scale.slides.maps", "SlideNetwork.maps", "network"),
    ("scale.slides.survey", "take_sample", "postprocessing"),
    ("scale.slides.job", "segment", "postprocessing"),
    ("scale.slides.blocks", "BlockGrid.cut", "postprocessing"),
    ("scale.slides.blocks", "BlockGrid.join", "postprocessing"),
    ("scale.slides.work", "WorkFolder.save", "write"),
    ("scale.slides.job", "write_slide_labels", "write"),
]
RECIPES = ("lite", "paper")  # lite at one scale; the paper's two networks at its three scales


# --- images -------------------------------------------------------------


def make_image(
    path: Path, shape: tuple[int, int], diameter: float = 20, modality: str = "fluorescence"
) -> Path:
    """Write a simulated image with cells everywhere, unless it is there.

    Eight fields are simulated, as densely as cells of that diameter lie without force, and laid out in random
    order, turned and with random brightness, so that no two parts of a large image are equal.
    """
    import numpy as np
    import tifffile

    from maunet_lite.data import atomic_path, simulate

    if path.exists():
        return path
    rng = np.random.default_rng(0)
    n_cells = max(1, round(0.45 * FIELD**2 / (np.pi / 4 * diameter**2)))
    options = {"rng": rng, "n_cells": n_cells, "cell_diameter": diameter}
    fields = [simulate(modality, (FIELD, FIELD), **options).image for _ in range(8)]
    image = np.empty((*shape, *fields[0].shape[2:]), dtype=np.uint8)
    for top in range(0, shape[0], FIELD):
        for left in range(0, shape[1], FIELD):
            field = np.rot90(fields[rng.integers(8)], rng.integers(4))
            place = image[top : top + FIELD, left : left + FIELD]
            place[:] = (field[: place.shape[0], : place.shape[1]] * rng.uniform(0.7, 1)).astype(np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(path) as temporary:
        tifffile.imwrite(
            temporary, image, tile=(512, 512), compression="zlib", maxworkers=1,
            photometric="rgb" if image.ndim == 3 else "minisblack", metadata=None,
        )  # fmt: skip
    return path


# --- the child: one image -------------------------------------------------------------


class Clock:
    """Counts seconds by stage: a stage inside another one counts for itself only, each thread by itself."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)
        self._local, self._lock = threading.local(), threading.Lock()

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Count what happens inside for `name`."""
        running = self._local.__dict__.setdefault("running", [])
        inner = [time.perf_counter(), 0.0]  # begin, seconds of stages inside
        running.append(inner)
        try:
            yield
        finally:
            running.pop()
            took = time.perf_counter() - inner[0]
            if running:
                running[-1][1] += took
            with self._lock:
                self.seconds[name] += took - inner[1]

    def watch(self, owner: Any, attribute: str, name: str) -> None:
        """Replace a function or method by one that is counted for stage `name`."""
        function: Callable[..., Any] = getattr(owner, attribute)

        @wraps(function)
        def counted(*args: Any, **options: Any) -> Any:
            with self.stage(name):
                return function(*args, **options)

        setattr(owner, attribute, counted)


def run_one(
    image: str, out: str, started: float, recipe: str, networks: list[str], device: str, memory: str,
    gpu_memory: str,
) -> dict[str, Any]:  # fmt: skip
    """Segment one image in this process and say what each stage took."""
    from maunet_lite.data import parse_bytes
    from maunet_lite.inference import PUBLISHED_SCALES, current_memory, prepare, resolve_device
    from maunet_lite.scale import needs_blocks

    target = resolve_device(device)
    models, stand_in = _models(recipe, networks, Path(image))
    scales = PUBLISHED_SCALES if recipe == "paper" else (1.0,)
    for model in models:
        prepare(model, target, target.type == "cuda")  # as a long-running program would have it
    clock = Clock()
    begun = time.time()
    clock.seconds["start"] = begun - started
    base = current_memory()
    way = _in_blocks if needs_blocks(image, memory) else _whole
    gib = parse_bytes(gpu_memory) / 2**30
    facts = way(clock, Path(image), Path(out), models, stand_in, scales, target, memory, gib)
    total = clock.seconds["start"] + time.time() - begun - clock.seconds.pop("stand-in", 0.0)
    return {
        **{name: round(clock.seconds[name], 3) for name in STAGES},
        **facts,
        "total": round(total, 3),
        "base_mib": round(base / 2**20),
        "ram_mib": round(peak_memory() / 2**20),
        "gpu_mib": _gpu_memory(target),
        "threads": _threads(),
    }


def _models(recipe: str, networks: list[str], image: Path) -> tuple[list[Any], Any]:
    """Return the networks, and one for the maps that follow if the networks have no trained weights."""
    from maunet_lite.network import load_model

    if recipe == "lite":
        return [load_model("lite")], None
    if networks:
        return [load_model(path) for path in networks], None
    return [load_model(path) for path in untrained(image.parent)], load_model("lite")


def untrained(folder: Path) -> list[Path]:
    """Write the paper's networks with random weights, unless they are there: read as trained ones are."""
    from maunet_lite.network import build_model, save_model

    paths = [folder / f"{preset}.safetensors" for preset in ("paper-r50", "paper-wr50")]
    for path in paths:
        if not path.exists():
            save_model(build_model(path.stem), path)
    return paths


def _whole(
    clock: Clock, image: Path, out: Path, models: Any, stand_in: Any, scales: Any, device: Any, memory: str,
    gib: float,
) -> dict[str, Any]:  # fmt: skip
    from maunet_lite.data import read_image, write_labels
    from maunet_lite.inference import predict
    from maunet_lite.postprocessing import segment

    with clock.stage("read"):
        pixels = read_image(image)
    with clock.stage("network"):
        maps = predict(models, pixels, scales, device=device, memory=gib)
    if stand_in is not None:
        with clock.stage("stand-in"):
            maps = predict(stand_in, pixels, device=device, memory=gib)
    with clock.stage("postprocessing"):
        labels = segment(maps, keep_steps=False).labels
    with clock.stage("write"):
        write_labels(out, labels)
    return {"cells": int(labels.max()), "blocks": 1}


def _in_blocks(
    clock: Clock, image: Path, out: Path, models: Any, stand_in: Any, scales: Any, device: Any, memory: str,
    gib: float,
) -> dict[str, Any]:  # fmt: skip
    from maunet_lite.scale import SlideNetwork, segment_slide

    maps = SlideNetwork.maps
    for module, name, stage in WATCHED:
        clock.watch(*find(module, name), stage)
    if stand_in is not None:
        _answer_with(stand_in, maps, clock)
    result = segment_slide(
        image, out, models, memory=memory, gpu_memory=round(gib * 2**30), scales=scales, device=device,
        progress=False, resume=False,
    )  # fmt: skip
    # Meanwhile a block was post-processed: without these seconds the total would be too small.
    return {"cells": result.cells, "blocks": result.blocks, "stand_in": clock.seconds.pop("stand-in", 0.0)}


def find(module: str, name: str) -> tuple[Any, str]:
    """Return a module of the kit, or a class in it, and the name of a function there."""
    owner = importlib.import_module(f"maunet_lite.{module}")
    *classes, function = name.split(".")
    for part in classes:
        owner = getattr(owner, part)
    return owner, function


def _answer_with(stand_in: Any, unclocked: Callable[..., Any], clock: Clock) -> None:
    """Let networks without training do their work, and a trained one answer."""
    from maunet_lite.scale import SlideNetwork

    ask = SlideNetwork.maps
    helpers: dict[int, Any] = {}

    def maps(self: Any, rows: slice, columns: slice) -> Any:
        ask(self, rows, columns)
        with clock.stage("stand-in"):
            if id(self) not in helpers:
                options = {"device": self.device, "empty": self.empty, "gpu_memory": self.gpu_memory}
                helpers[id(self)] = SlideNetwork(self.slide, stand_in, self.scaling, **options)
            return unclocked(helpers[id(self)], rows, columns)

    SlideNetwork.maps = maps


def peak_memory() -> int:
    """Return the most memory that this process has held at once so far, in bytes (resident set size).

    On Windows this is psutil's peak working set.
    """
    if sys.platform == "win32":
        import psutil

        return int(psutil.Process().memory_info().peak_wset)
    status = Path("/proc/self/status")
    if status.exists():  # Linux: getrusage would count the process that started this one, too
        return int(re.search(r"^VmHWM:\s+(\d+) kB", status.read_text(), re.MULTILINE)[1]) * 1024
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return int(peak if sys.platform == "darwin" else peak * 1024)  # macOS counts bytes, Linux KiB


def _gpu_memory(device: Any) -> int | None:
    import torch

    return round(torch.cuda.max_memory_reserved(device) / 2**20) if device.type == "cuda" else None


def _threads() -> int:
    import torch

    return torch.get_num_threads()


# --- the parent -------------------------------------------------------------


def measure(
    image: Path, recipe: str, device: str, memory: str, networks: list[str], repeat: int,
    gpu_memory: str = "6GiB",
) -> dict[str, Any]:  # fmt: skip
    """Segment an image in fresh processes, and return what the fastest one said.

    Raises
    ------
    RuntimeError
        With the end of its error output, if a process fails.
    """
    out = image.with_name("result.tif")
    if recipe == "paper" and not networks:
        untrained(image.parent)
    runs = []
    for _ in range(repeat):
        spec = {
            "image": str(image), "out": str(out), "recipe": recipe, "networks": networks, "device": device,
            "memory": memory, "gpu_memory": gpu_memory, "started": time.time(),
        }  # fmt: skip
        command = [sys.executable, "-m", "benchmarks.one_image", json.dumps(spec)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        out.unlink(missing_ok=True)
        if done.returncode:
            raise RuntimeError(f"{recipe} on {image.name} failed:\n{done.stderr[-2000:]}")
        runs.append(json.loads(done.stdout.splitlines()[-1]))
    return min(runs, key=lambda run: run["total"])


if __name__ == "__main__":
    print(json.dumps(run_one(**json.loads(sys.argv[1]))))
