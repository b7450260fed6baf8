"""Residual networks as encoders (He et al. 2016, Zagoruyko and Komodakis 2016), and their ImageNet weights.

Layers and names are torchvision's, so that its weights fit; the classifier is left out.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import NamedTuple
from urllib.error import URLError

import torch
from torch import Tensor, nn


class Variant(NamedTuple):
    """One residual network.

    depths : blocks in each of the four layers.
    bottleneck : blocks of 1×1, 3×3, 1×1 convolutions that return 4 times the layer's width, else of two 3×3.
    widening : factor on the inner channels of a bottleneck.
    weights : torchvision's file; the eight characters after the dash begin its SHA-256.
    """

    depths: tuple[int, int, int, int]
    bottleneck: bool
    widening: int
    weights: str


VARIANTS = {
    "resnet18": Variant((2, 2, 2, 2), False, 1, "resnet18-f37072fd.pth"),
    "resnet34": Variant((3, 4, 6, 3), False, 1, "resnet34-b627a593.pth"),
    "resnet50": Variant((3, 4, 6, 3), True, 1, "resnet50-0676ba61.pth"),
    "wide_resnet50_2": Variant((3, 4, 6, 3), True, 2, "wide_resnet50_2-95faca4d.pth"),
}
WEIGHTS_URL = "https://download.pytorch.org/models/"


class ResNetBlock(nn.Module):
    """Convolutions with batch normalisation, and a shortcut around them.

    (B, before, H, W) → (B, channels of the last layer, H / stride, W / stride).

    Parameters
    ----------
    before : int
        Channels that come in.
    layers : list of (kernel, channels)
        The convolutions, in order. The first 3×3 takes the stride.
    stride : int
    """

    def __init__(self, before: int, layers: list[tuple[int, int]], stride: int) -> None:
        super().__init__()
        self.n_layers = len(layers)
        strides = [
            stride if i == [kernel for kernel, _ in layers].index(3) else 1 for i in range(len(layers))
        ]
        channels = before
        for i, ((kernel, after), step) in enumerate(zip(layers, strides, strict=True), start=1):
            conv = nn.Conv2d(channels, after, kernel, stride=step, padding=kernel // 2, bias=False)
            self.add_module(f"conv{i}", conv)
            self.add_module(f"bn{i}", nn.BatchNorm2d(after))
            channels = after
        self.activation = nn.ReLU(inplace=True)
        self.downsample: nn.Module | None = None
        if before != channels or stride != 1:
            shortcut = nn.Conv2d(before, channels, 1, stride=stride, bias=False)
            self.downsample = nn.Sequential(shortcut, nn.BatchNorm2d(channels))

    def forward(self, x: Tensor) -> Tensor:
        """Apply the block."""
        out = x
        for i in range(1, self.n_layers + 1):
            out = getattr(self, f"bn{i}")(getattr(self, f"conv{i}")(out))
            if i < self.n_layers:
                out = self.activation(out)
        return self.activation(out + (x if self.downsample is None else self.downsample(x)))


class ResNetEncoder(nn.Module):
    """A residual network without its classifier, cut after `stages` stages (2 to 5, the stem is the first).

    Parameters
    ----------
    name : str
        One of `VARIANTS`.
    stages : int
        How many to keep; the paper leaves out the last one of ``wide_resnet50_2``.
    """

    def __init__(self, name: str, stages: int = 5) -> None:
        super().__init__()
        variant = VARIANTS[name]
        self.conv1 = nn.Conv2d(3, 64, 7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.activation = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1)
        self.n_layers = stages - 1
        channels = [64]
        for i in range(self.n_layers):
            layer = _layer(
                variant, channels[-1], width=64 * 2**i, depth=variant.depths[i], stride=2 if i else 1
            )
            self.add_module(f"layer{i + 1}", layer)
            channels.append(64 * 2**i * (4 if variant.bottleneck else 1))
        self.channels = tuple(channels)
        self.strides = tuple(2 ** (i + 1) for i in range(stages))
        for part in self.modules():
            if isinstance(part, nn.Conv2d):
                nn.init.kaiming_normal_(part.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, x: Tensor) -> list[Tensor]:
        """Return the stem's features and one feature map per layer, finest first."""
        features = [self.activation(self.bn1(self.conv1(x)))]  # (B, 64, H/2, W/2)
        x = self.maxpool(features[0])  # (B, 64, H/4, W/4)
        for i in range(1, self.n_layers + 1):
            x = getattr(self, f"layer{i}")(x)
            features.append(x)
        return features


def _layer(variant: Variant, before: int, width: int, depth: int, stride: int) -> nn.Sequential:
    inner = width * variant.widening
    layers = [(1, inner), (3, inner), (1, 4 * width)] if variant.bottleneck else [(3, width), (3, width)]
    after = layers[-1][1]
    first = ResNetBlock(before, layers, stride)
    return nn.Sequential(first, *(ResNetBlock(after, layers, stride=1) for _ in range(depth - 1)))


def load_imagenet(encoder: ResNetEncoder, name: str) -> None:
    """Fill `encoder` with torchvision's weights of `name`, as far as it has a place for them."""
    weights = imagenet_weights(VARIANTS[name].weights)
    wanted = encoder.state_dict()
    missing = [key for key in wanted if key not in weights and not key.endswith("num_batches_tracked")]
    if missing:
        raise ValueError(
            f"{VARIANTS[name].weights} lacks {len(missing)} weights of {name}, first {missing[0]!r}"
        )
    encoder.load_state_dict({key: value for key, value in weights.items() if key in wanted}, strict=False)


def imagenet_weights(filename: str) -> dict[str, Tensor]:
    """Return torchvision's weights from torch's cache, downloaded if need be; the hash is always checked.

    Parameters
    ----------
    filename : str
        Such as ``"resnet18-f37072fd.pth"``.

    Raises
    ------
    FileNotFoundError
        If the file is not there and cannot be downloaded; the message says which file to put where.
    ValueError
        If the file's SHA-256 is not the one in its name.
    """
    cached = Path(torch.hub.get_dir()) / "checkpoints" / filename
    if cached.is_file():
        _check_hash(cached)
    try:
        return torch.hub.load_state_dict_from_url(
            WEIGHTS_URL + filename, map_location="cpu", check_hash=True, weights_only=True, progress=False
        )
    except (URLError, OSError) as error:
        raise FileNotFoundError(
            f"ImageNet weights cannot be downloaded ({error}). Fetch {WEIGHTS_URL}{filename} on a machine "
            f"with internet access and put it to {cached}, or use imagenet=False"
        ) from error


def _check_hash(path: Path) -> None:
    # Torch checks what it downloads, not what it finds.
    expected = path.stem.rpartition("-")[2]
    found = hashlib.sha256(path.read_bytes()).hexdigest()
    if not found.startswith(expected):
        raise ValueError(
            f"{path} is damaged or something else: its SHA-256 begins with {found[: len(expected)]}, not "
            f"{expected}. Delete it; it will be downloaded again from {WEIGHTS_URL}{path.name}"
        )
