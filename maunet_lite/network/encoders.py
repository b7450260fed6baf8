"""Encoders by name (paper section 2.2.1): any network that returns features at growing strides.

An encoder is a module with two attributes, ``channels`` and ``strides`` (one entry per returned feature map,
finest first), whose ``forward`` turns images (B, 3, H, W) into a list of features (B, channels[i],
H/strides[i], W/strides[i]). The decoders follow from these lists; nothing else is known about the encoder.
"""

import hashlib
import re
from pathlib import Path

import torch
from torch import Tensor, nn

from maunet_lite.network.blocks import ResidualBlock

LITE_CHANNELS = (24, 48, 96, 144, 192)  # the shipped weights have these; chosen by speed per parameter


# Residual networks: blocks in each of the four layers, their kind (see `_monai_block`), and torchvision's
# file of weights; the eight characters after the dash begin its SHA-256.
VARIANTS = {
    "resnet18": ((2, 2, 2, 2), "basic", "resnet18-f37072fd.pth"),
    "resnet34": ((3, 4, 6, 3), "basic", "resnet34-b627a593.pth"),
    "resnet50": ((3, 4, 6, 3), "bottleneck", "resnet50-0676ba61.pth"),
    "wide_resnet50_2": ((3, 4, 6, 3), "wide bottleneck", "wide_resnet50_2-95faca4d.pth"),
}


class LiteEncoder(nn.Module):
    """A small residual encoder that trains on two CPU cores.

    The first convolution already halves the resolution: full resolution is where a CPU spends its time.

    Parameters
    ----------
    channels : tuple of int
        Of the stem and of each further stage; each halves the resolution.
    depth : int
        Residual blocks in each stage behind the stem.
    """

    def __init__(self, channels: tuple[int, ...] = LITE_CHANNELS, depth: int = 1) -> None:
        super().__init__()
        self.channels = tuple(channels)
        self.strides = tuple(2 ** (i + 1) for i in range(len(channels)))
        first = nn.Conv2d(3, channels[0], 5, stride=2, padding=2, bias=False)
        self.stem = nn.Sequential(first, nn.BatchNorm2d(channels[0]), nn.LeakyReLU(0.01, inplace=True))
        self.stages = nn.ModuleList()
        for before, after in zip(channels[:-1], channels[1:], strict=True):
            more = [ResidualBlock(after, after, "batch") for _ in range(depth - 1)]
            self.stages.append(nn.Sequential(ResidualBlock(before, after, "batch", stride=2), *more))

    def forward(self, x: Tensor) -> list[Tensor]:
        """Return one feature map per stage, finest first."""
        features = [self.stem(x)]
        for stage in self.stages:
            features.append(stage(features[-1]))
        return features


class ResNetEncoder(nn.Module):
    """MONAI's residual network without its classifier, cut after `stages` stages (2 to 5, the stem is first).

    Layers and names are torchvision's, too, so that its weights fit (He et al. 2016, arXiv:1512.03385;
    Zagoruyko and Komodakis 2016, arXiv:1605.07146).

    Parameters
    ----------
    name : str
        One of `VARIANTS`.
    stages : int
        How many to keep; the paper leaves out the last one of ``wide_resnet50_2``.
    """

    def __init__(self, name: str, stages: int = 5) -> None:
        super().__init__()
        from monai.networks.nets.resnet import ResNet  # takes seconds, and lite does without

        depths, kind, _ = VARIANTS[name]
        block = _monai_block(kind)
        depths = [*depths[: stages - 1], *[1] * (5 - stages)]  # cut off: as small as can be
        stem = {"n_input_channels": 3, "conv1_t_size": 7, "conv1_t_stride": 2}  # torchvision's
        rest = {"shortcut_type": "B", "bias_downsample": False, "feed_forward": False}
        whole = ResNet(block, depths, [64, 128, 256, 512], spatial_dims=2, **stem, **rest)
        self.layers = [f"layer{i}" for i in range(1, stages)]
        for part in ("conv1", "bn1", "act", "maxpool", *self.layers):
            self.add_module(part, getattr(whole, part))
        self.channels = (64, *(64 * 2**i * block.expansion for i in range(stages - 1)))
        self.strides = tuple(2 ** (i + 1) for i in range(stages))

    def forward(self, x: Tensor) -> list[Tensor]:
        """Return the stem's features and one feature map per layer, finest first."""
        features = [self.act(self.bn1(self.conv1(x)))]  # (B, 64, H/2, W/2)
        x = self.maxpool(features[0])  # (B, 64, H/4, W/4)
        for layer in self.layers:
            x = getattr(self, layer)(x)
            features.append(x)
        return features


def _monai_block(kind: str) -> type[nn.Module]:
    """Return MONAI's block of two 3×3 convolutions, its bottleneck, or one twice as wide inside."""
    from monai.networks.nets.resnet import ResNetBlock, ResNetBottleneck

    class WideBottleneck(ResNetBottleneck):
        def __init__(self, in_planes: int, planes: int, **options: object) -> None:
            self.expansion = 2  # from twice the channels to the same number as in a bottleneck
            super().__init__(in_planes, 2 * planes, **options)

    return {"basic": ResNetBlock, "bottleneck": ResNetBottleneck, "wide bottleneck": WideBottleneck}[kind]


class TimmEncoder(nn.Module):
    """Any network of the timm library that can return the features of its stages."""

    def __init__(self, name: str, stages: int | None = None, pretrained: bool = False) -> None:
        super().__init__()
        try:
            import timm
        except (ImportError, RuntimeError) as error:  # RuntimeError: a torchvision that does not fit torch
            what = f"encoders named timm:NAME need the timm library ({error})"
            beside = f"a torchvision that matches the installed torch ({torch.__version__})"
            cure = f'Install it with `pip install -e ".[timm]"` beside {beside}'
            raise ImportError(f"{what}. {cure}, or use {', '.join(VARIANTS)}, which need nothing") from error
        keep = {} if stages is None else {"out_indices": tuple(range(stages))}
        try:
            self.net = timm.create_model(name, pretrained=pretrained, features_only=True, in_chans=3, **keep)
        except Exception as error:  # timm raises anything from RuntimeError to IndexError and HTTP errors
            similar = ", ".join(timm.list_models(f"*{name.split('_')[0]}*")[:5])
            advice = f"similar names: {similar or 'none; `timm.list_models()` lists what there is'}"
            if pretrained:
                advice = "are its weights downloaded? timm keeps them in its own cache"
            raise ValueError(f"timm cannot build the encoder {name!r} ({error}); {advice}") from error
        self.channels = tuple(self.net.feature_info.channels())
        self.strides = tuple(self.net.feature_info.reduction())

    def forward(self, x: Tensor) -> list[Tensor]:
        """Return one feature map per stage, finest first."""
        # Some of timm's transformers return (B, H, W, C).
        pairs = zip(self.net(x), self.channels, strict=True)
        return [f if f.shape[1] == c else f.movedim(-1, 1) for f, c in pairs]


def build_encoder(name: str, imagenet: bool = False) -> nn.Module:
    """Build the encoder called `name`.

    Parameters
    ----------
    name : str
        ``"lite"``; ``"resnet18"``, ``"resnet34"``, ``"resnet50"``, ``"wide_resnet50_2"``; or ``"timm:NAME"``
        for any network of the timm library. A number of stages to keep may follow: ``"wide_resnet50_2:4"``
        leaves the last one out, as the paper does. ``"lite:16-32-64x2"`` is a small encoder with stages of
        these channels and two residual blocks in each stage but the first.
    imagenet : bool
        Start from ImageNet weights: torchvision's for the residual networks, timm's own for its networks.

    Returns
    -------
    nn.Module
        With ``channels`` and ``strides``, one entry per stage.

    Raises
    ------
    ValueError
        If the name or the number of stages is not known, or if there are no ImageNet weights for it.
    ImportError
        If timm is asked for and not installed.
    FileNotFoundError
        If ImageNet weights can neither be found nor downloaded; the message says which file to put where.

    Examples
    --------
    >>> encoder = build_encoder("lite:16-32-64x2")
    >>> encoder.channels, encoder.strides
    ((16, 32, 64), (2, 4, 8))
    """
    base, _, cut = name.removeprefix("timm:").partition(":")
    if name.startswith("timm:"):
        return TimmEncoder(base, _stages(name, cut, most=9), pretrained=imagenet)
    if base == "lite":
        if imagenet:
            raise ValueError("there are no ImageNet weights for the encoder 'lite': use imagenet=False")
        if "-" in cut:
            if not (found := re.fullmatch(r"([1-9]\d*(?:-[1-9]\d*)+)(?:x([1-9]\d*))?", cut)):
                wanted = "the channels of each stage and the blocks in each, such as 'lite:16-32-64x2'"
                raise ValueError(f"encoder {name!r}: expected {wanted}")
            return LiteEncoder(tuple(map(int, found[1].split("-"))), int(found[2] or 1))
        return LiteEncoder(LITE_CHANNELS[: _stages(name, cut, most=len(LITE_CHANNELS))])
    if base not in VARIANTS:
        known = ", ".join(["lite", *VARIANTS, "timm:NAME"])
        raise ValueError(f"encoder {name!r} is not known; choose one of {known}")
    encoder = ResNetEncoder(base, _stages(name, cut, most=5) or 5)
    if imagenet:  # torchvision's file has a classifier, too
        file = VARIANTS[base][-1]
        if missing := encoder.load_state_dict(imagenet_weights(file), strict=False).missing_keys:
            raise ValueError(f"{file} lacks {len(missing)} weights of the encoder, first {missing[0]!r}")
    return encoder


def _stages(name: str, cut: str, most: int) -> int | None:
    """Return the number of stages asked for behind the colon, None if nothing is there."""
    if cut and not (cut.isdecimal() and 2 <= int(cut) <= most):
        raise ValueError(f"encoder {name!r}: the stages to keep, {cut!r}, must be a number from 2 to {most}")
    return int(cut) if cut else None


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
    url = f"https://download.pytorch.org/models/{filename}"
    cached = Path(torch.hub.get_dir()) / "checkpoints" / filename
    if cached.is_file():  # torch checks what it downloads, not what it finds
        expected, found = cached.stem.rpartition("-")[2], hashlib.sha256(cached.read_bytes()).hexdigest()
        if not found.startswith(expected):
            what = f"its SHA-256 begins with {found[: len(expected)]}, not {expected}"
            cure = f"Delete it; it will be downloaded again from {url}"
            raise ValueError(f"{cached} is damaged or something else: {what}. {cure}")
    options = {"map_location": "cpu", "check_hash": True, "weights_only": True, "progress": False}
    try:
        return torch.hub.load_state_dict_from_url(url, **options)
    except OSError as error:
        cure = f"Fetch {url} on a machine with internet access and put it to {cached}, or use imagenet=False"
        raise FileNotFoundError(f"ImageNet weights cannot be downloaded ({error}). {cure}") from error
