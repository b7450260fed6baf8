"""Seconds and memory per megapixel of each network, and of the whole inference recipe, beside their peers.

    python -m benchmarks.network                        # all presets at 512 × 512, minutes on two cores
    python -m benchmarks.network --quick                # small images, about a minute
    python -m benchmarks.network --size 1024 --repeat 9 --only inference --device cuda

- **published …**: a plain re-statement of the published computation: MONAI's blocks, two separate decoders,
  float32, contiguous memory, one image at a time. Its recipe is MONAI's sliding window at each scale, which
  fills images up to 512 × 512. With the same weights it must return what the kit returns: that is checked
  first.
- **StarDist's, re-stated**: the network of StarDist's default configuration (2D, grid 2), re-stated in torch,
  channels-last. Not the package itself.
- **paper-r50, paper-wr50, lite**: this kit, as `predict` and `train` run them.
- **MONAI block**: MONAI's `UnetrUpBlock`, of the width of the finest decoder block, beside the kit's.
- **SlidingWindowInferer**: MONAI's, windows of 512 that overlap by a quarter and blend as Gaussians, with
  `lite` as it is trained and as the kit prepares it, beside `predict`.

All networks of a table run in turn, round after round, in one process, and the fastest round counts: what
slows the machine down slows all of them down, so that ratios travel further than seconds. Memory is the peak
of the process above its imports, weights included, and is measured in a process of its own (Linux; on a GPU:
torch's peak).
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from maunet_lite.inference import PUBLISHED_SCALES, Prepared, predict, resolve_device
from maunet_lite.network import (
    PRESETS,
    MAUNet,
    Output,
    UpBlock,
    build_encoder,
    build_model,
    import_authors,
)
from maunet_lite.preprocessing import normalize
from maunet_lite.training import supervised_loss

PUBLISHED = {"paper-r50": "published r50", "paper-wr50": "published wr50"}
STARDIST = "StarDist's, re-stated"
NETWORKS = (*PUBLISHED.values(), *PRESETS, STARDIST)
SIZES = {"default": (512, 5, 1024), "quick": (256, 2, 512)}  # pixels, rounds, pixels of the recipe's image


# --- peers -------------------------------------------------------------


class PublishedNet(nn.Module):
    """The published computation from MONAI's blocks, with the published names, in its plainest form."""

    def __init__(self, preset: str) -> None:
        super().__init__()
        from monai.networks.blocks import UnetOutBlock, UnetrBasicBlock, UnetrUpBlock

        config = PRESETS[preset]
        self.res = build_encoder(config.encoder)
        options = {"spatial_dims": 2, "kernel_size": 3, "norm_name": "instance", "res_block": True}
        pairs = list(zip((3, *self.res.channels), config.widths, strict=True))
        self.depth = len(pairs) - 1
        for i, (channels, width) in enumerate(pairs):
            name = f"encoder{i + 1 if i < self.depth else 10}"
            self.add_module(
                name, UnetrBasicBlock(in_channels=channels, out_channels=width, stride=1, **options)
            )
        for i, (fine, deep) in enumerate(zip(config.widths[:-1], config.widths[1:], strict=True), start=1):
            for branch in ("", "_2"):
                block = UnetrUpBlock(in_channels=deep, out_channels=fine, upsample_kernel_size=2, **options)
                self.add_module(f"decoder{i}{branch}", block)
        self.out = UnetOutBlock(2, config.widths[0], 4)
        self.out_2 = UnetOutBlock(2, config.widths[0], 1)

    def forward(self, x: Tensor) -> Output:
        """Return logits and distance."""
        features = [x, *self.res(x)]
        skips = [getattr(self, f"encoder{i + 1}")(feature) for i, feature in enumerate(features[:-1])]
        deepest = self.encoder10(features[-1])
        outputs = []
        for branch in ("", "_2"):
            y = deepest
            for i in range(self.depth, 0, -1):
                y = getattr(self, f"decoder{i}{branch}")(y, skips[i - 1])
            outputs.append(getattr(self, f"out{branch}")(y))
        return Output(*outputs)


class StarDistNet(nn.Module):
    """StarDist's default network: two convolutions, a pooling, a U-Net of depth 3, 128 features, 32 rays."""

    def __init__(self) -> None:
        super().__init__()
        self.grid = _convolutions(3, 32, 32)
        self.down = nn.ModuleList(
            [_convolutions(32, 32, 32), _convolutions(32, 64, 64), _convolutions(64, 128, 128)]
        )
        self.middle = _convolutions(128, 256, 128)
        self.up = nn.ModuleList(
            [_convolutions(256, 128, 64), _convolutions(128, 64, 32), _convolutions(64, 32, 32)]
        )
        self.features = _convolutions(32, 128)
        self.probability, self.rays = nn.Conv2d(128, 1, 1), nn.Conv2d(128, 32, 1)

    def forward(self, x: Tensor) -> Output:
        """Return probability and distances along rays, at half the resolution."""
        x = F.max_pool2d(self.grid(x), 2)
        skips = []
        for down in self.down:
            skips.append(down(x))
            x = F.max_pool2d(skips[-1], 2)
        x = self.middle(x)
        for up, skip in zip(self.up, reversed(skips), strict=True):
            x = up(torch.cat([F.interpolate(x, scale_factor=2.0), skip], dim=1))
        x = self.features(x)
        return Output(self.probability(x).sigmoid(), self.rays(x))


def _convolutions(*channels: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for before, after in zip(channels[:-1], channels[1:], strict=True):
        layers += [nn.Conv2d(before, after, 3, padding=1), nn.ReLU(inplace=True)]
    return nn.Sequential(*layers)


# --- jobs -------------------------------------------------------------


def build(name: str) -> nn.Module:
    """Build a network by its name in the tables, always with the same weights."""
    torch.manual_seed(0)
    if name == STARDIST:
        return StarDistNet()
    presets = {label: preset for preset, label in PUBLISHED.items()}
    return PublishedNet(presets[name]) if name in presets else build_model(name)


def inference_job(name: str, size: int, device: torch.device) -> Callable[[], object]:
    """Return a call that computes one image of `size` × `size`, as the network's owner would."""
    network = build(name).eval()
    x = torch.rand(1, 3, size, size)
    if isinstance(network, MAUNet):
        network = Prepared(network, device, half=device.type == "cuda")
    elif name == STARDIST:
        network, x = (
            network.to(device, memory_format=torch.channels_last),
            x.to(memory_format=torch.channels_last),
        )
    else:
        network.to(device)
    x = x.to(device)

    def run() -> object:
        with torch.inference_mode():
            return network(x)

    return run


def training_job(name: str, size: int, device: torch.device) -> Callable[[], object]:
    """Return a call that does one training step on two images of half that size."""
    network = build(name).train().to(device)
    kit = isinstance(network, MAUNet)
    if kit:
        network = network.to(memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-4)
    side = size // 2
    x = torch.rand(2, 3, side, side, device=device)
    if kit:
        x = x.contiguous(memory_format=torch.channels_last)
    classes = torch.randint(0, 3, (2, side, side), device=device)
    distance = torch.rand(2, 1, side, side, device=device)

    def run() -> None:
        with torch.autocast(device.type, torch.bfloat16, enabled=kit and device.type == "cuda"):
            output = network(x)
        optimizer.zero_grad()
        supervised_loss(output, classes, distance)["loss"].backward()
        optimizer.step()

    return run


def recipe_job(name: str, size: int, device: torch.device) -> Callable[[], object]:
    """Return a call that sends one image through an inference recipe: networks, scales, windows, means."""
    image = np.random.default_rng(0).integers(0, 255, (size, size), dtype=np.uint8)
    if name == "published recipe":
        networks = [build(label).eval().to(device) for label in PUBLISHED.values()]
        return lambda: published_recipe(networks, image, device)
    models = [build(preset).eval() for preset in (PUBLISHED if name == "kit, same recipe" else ["lite"])]
    scales = PUBLISHED_SCALES if name == "kit, same recipe" else (1.0,)
    return lambda: predict(models, image, scales, device=device)


RECIPES = ("published recipe", "kit, same recipe", "kit, lite at one scale")


@torch.inference_mode()
def published_recipe(networks: list[nn.Module], image: np.ndarray, device: torch.device) -> Tensor:
    """Two networks × three scales through MONAI's sliding window; five stitched channels, their mean."""
    from monai.inferers import sliding_window_inference

    x = torch.from_numpy(normalize(image)).permute(2, 0, 1)[None].to(device)
    total = torch.zeros(1, 5, *image.shape, device=device)
    for network in networks:
        for scale in PUBLISHED_SCALES:
            scaled = F.interpolate(x, scale_factor=scale, mode="bilinear")
            maps = sliding_window_inference(
                scaled, (512, 512), 1, lambda w, n=network: torch.cat(n(w), dim=1), 0.25
            )
            total += F.interpolate(maps, image.shape, mode="bilinear")
    total /= max(1, len(networks)) * len(PUBLISHED_SCALES)
    total[:, :4] = total[:, :4].softmax(dim=1)
    return total.cpu()


BLOCKS = ("MONAI block", "kit's block")


def block_job(name: str, size: int, device: torch.device) -> Callable[[], object]:
    """Return a call that joins 48 channels at half resolution with 24 at full resolution."""
    from monai.networks.blocks import UnetrUpBlock

    options = {"kernel_size": 3, "upsample_kernel_size": 2, "norm_name": "instance", "res_block": True}
    block = UnetrUpBlock(2, 48, 24, **options) if name == BLOCKS[0] else UpBlock(48, 24)
    layout = torch.channels_last if name == BLOCKS[1] and device.type == "cpu" else torch.contiguous_format
    block = block.to(device, memory_format=layout).eval()
    x, skip = torch.rand(1, 48, size // 2, size // 2), torch.rand(1, 24, size, size)
    x, skip = (features.to(device, memory_format=layout) for features in (x, skip))

    def run() -> object:
        with torch.inference_mode():
            return block(x, skip)

    return run


WINDOWS = ("SlidingWindowInferer", "… with kit's network", "kit's windows")


def window_job(name: str, size: int, device: torch.device) -> Callable[[], object]:
    """Return a call that sends one image through `lite` in windows of 512 pixels."""
    from monai.inferers import SlidingWindowInferer

    image = np.random.default_rng(0).integers(0, 255, (size, size), dtype=np.uint8)
    model = build("lite").eval()
    if name == WINDOWS[2]:
        return lambda: predict(model, image, window=512, device=device)
    network = model.to(device) if name == WINDOWS[0] else Prepared(model, device, half=device.type == "cuda")
    slide = SlidingWindowInferer((512, 512), overlap=0.25, mode="gaussian")

    def run() -> Tensor:
        x = torch.from_numpy(normalize(image)).permute(2, 0, 1)[None].to(device)
        with torch.inference_mode():
            maps = slide(x, lambda window: torch.cat(network(window), dim=1))
        return torch.cat([maps[:, :4].softmax(dim=1), maps[:, 4:]], dim=1).cpu()

    return run


JOBS = {
    "inference": (inference_job, NETWORKS),
    "training": (training_job, NETWORKS[:-1]),
    "recipe": (recipe_job, RECIPES),
    "block": (block_job, BLOCKS),
    "windows": (window_job, WINDOWS),
}


# --- measuring -------------------------------------------------------------


def seconds(jobs: dict[str, Callable[[], object]], rounds: int, device: torch.device) -> dict[str, float]:
    """Run all jobs in turn, `rounds` times after one that does not count; return each one's fastest."""
    best = dict.fromkeys(jobs, np.inf)
    for i in range(rounds + 1):
        for name, job in jobs.items():
            start = time.perf_counter()
            job()
            if device.type == "cuda":
                torch.cuda.synchronize(device)
            if i:
                best[name] = min(best[name], time.perf_counter() - start)
    return best


def peak_of(kind: str, name: str, size: int, device: torch.device) -> float:
    """Build and run one job in this process; return the peak of its memory in MiB above what was there."""
    make = JOBS[kind][0]
    published_recipe([], np.zeros((64, 64), dtype=np.uint8), device)  # imports what the jobs import
    inference_job("lite", 64, device)()
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        make(name, size, device)()
        return (torch.cuda.max_memory_allocated(device) - before) / 2**20
    status = Path("/proc/self/status")
    if not status.exists():
        return float("nan")
    Path("/proc/self/clear_refs").write_text("5")  # forget the peak so far
    before = _high_water(status)
    make(name, size, device)()
    return _high_water(status) - before


def _high_water(status: Path) -> float:
    line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) / 1024


def peak(kind: str, name: str, size: int, device: torch.device) -> float:
    """Return `peak_of` from a process of its own."""
    arguments = json.dumps([kind, name, size, str(device)])
    command = [sys.executable, "-m", "benchmarks.network", "--peak-of", arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return float(done.stdout.split()[-1])


# --- tables -------------------------------------------------------------


def check_peers(size: int) -> None:
    """Stop unless the re-stated networks and this kit's return the same for the same weights."""
    x = torch.rand(1, 3, size, size)
    for preset, label in PUBLISHED.items():
        plain = build(label).eval()
        ours = Prepared(import_authors(plain.state_dict(), preset), torch.device("cpu"), half=False)
        with torch.inference_mode():
            difference = max((a - b).abs().max().item() for a, b in zip(plain(x), ours(x), strict=True))
        print(f"{label} and {preset} with the same weights: outputs at most {difference:.0e} apart")
        if difference > 1e-3:
            raise SystemExit("they must agree")


def table(kind: str, size: int, rounds: int, device: torch.device, memory: bool) -> None:
    """Print one table: seconds per megapixel, ratio to the published computation, memory."""
    make, names = JOBS[kind]
    megapixels = size**2 / 1e6 / (2 if kind == "training" else 1)  # training: two images of half the side
    times = seconds({name: make(name, size, device) for name in names}, rounds, device)
    what = {"training": f"training step, 2 × {size // 2} × {size // 2}"}.get(kind, f"{kind}, {size} × {size}")
    print(f"\n{what} pixels, {device.type}, {torch.get_num_threads()} threads, best of {rounds}\n")
    print(f"| {'':24} | seconds / MP | ratio to {names[0]:20} | MiB |")
    print("|--------------------------|-------------:|------------------------------:|------:|")
    for name in names:
        peak_mib = f"{peak(kind, name, size, device):6,.0f}" if memory else "–"
        ratio = times[name] / times[names[0]]
        print(f"| {name:24} | {times[name] / megapixels:12.3g} | {ratio:29.3f} | {peak_mib:>5} |", flush=True)
    if kind == "inference":
        print(f"\nlite / {STARDIST}: {times['lite'] / times[STARDIST]:.2f}")
        print(f"paper-wr50 / published wr50: {times['paper-wr50'] / times['published wr50']:.3f}")


def main() -> None:
    """Read the options and print the tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="small images, two rounds")
    parser.add_argument("--size", type=int, help="side of the image in pixels, a multiple of 64")
    parser.add_argument("--repeat", type=int, help="rounds that count")
    parser.add_argument("--recipe-size", type=int, help="side of the recipe's image")
    parser.add_argument(
        "--only", choices=JOBS, action="append", help="this table; may be given several times"
    )
    parser.add_argument("--device", default="auto")
    parser.add_argument("--threads", type=int, help="CPU threads")
    parser.add_argument(
        "--no-memory", action="store_true", help="leave memory out, which starts a process per row"
    )
    parser.add_argument("--peak-of", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)
    if options.peak_of:
        kind, name, size, device = json.loads(options.peak_of)
        print(peak_of(kind, name, size, torch.device(device)))
        return
    size, rounds, recipe_size = SIZES["quick" if options.quick else "default"]
    size, rounds, recipe_size = (
        options.size or size,
        options.repeat or rounds,
        options.recipe_size or recipe_size,
    )
    device = resolve_device(options.device)
    kinds = options.only or list(JOBS)
    check_peers(min(size, 256))
    sizes = {"recipe": recipe_size, "windows": 2 * recipe_size}
    for kind in kinds:
        repeat = max(1, rounds // 3) if kind == "recipe" else rounds
        table(kind, sizes.get(kind, size), repeat, device, not options.no_memory)


if __name__ == "__main__":
    main()
