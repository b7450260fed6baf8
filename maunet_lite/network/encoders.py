"""Encoders by name (paper section 2.2.1): any network that returns features at growing strides.

An encoder is a module with two attributes, ``channels`` and ``strides`` (one entry per returned feature map,
finest first), whose ``forward`` turns images (B, 3, H, W) into a list of features (B, channels[i],
H/strides[i], W/strides[i]). The decoders follow from these lists; nothing else is known about the encoder.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from maunet_lite.network.blocks import ResidualBlock, norm_layer
from maunet_lite.network.resnet import VARIANTS, ResNetEncoder, load_imagenet

__all__ = ["LITE_CHANNELS", "RESNETS", "LiteEncoder", "ResNetEncoder", "TimmEncoder", "build_encoder"]

RESNETS = tuple(VARIANTS)
LITE_CHANNELS = (24, 48, 96, 144, 192)  # the shipped weights have these; chosen by speed per parameter


class LiteEncoder(nn.Module):
    """A small residual encoder that trains on two CPU cores.

    The first convolution already halves the resolution: full resolution is where a CPU spends its time.
    """

    def __init__(
        self, channels: tuple[int, ...] = LITE_CHANNELS, norm: str = "batch", depth: int = 1
    ) -> None:
        super().__init__()
        self.channels = tuple(channels)
        self.strides = tuple(2 ** (i + 1) for i in range(len(channels)))
        self.stem = nn.Sequential(
            nn.Conv2d(3, channels[0], 5, stride=2, padding=2, bias=False),
            norm_layer(norm, channels[0]),
            nn.LeakyReLU(0.01, inplace=True),
        )
        self.stages = nn.ModuleList()
        for before, after in zip(channels[:-1], channels[1:], strict=True):
            blocks = [ResidualBlock(before, after, norm, stride=2)]
            blocks += [ResidualBlock(after, after, norm) for _ in range(depth - 1)]
            self.stages.append(nn.Sequential(*blocks))

    def forward(self, x: Tensor) -> list[Tensor]:
        """Return one feature map per stage, finest first."""
        features = [self.stem(x)]
        for stage in self.stages:
            features.append(stage(features[-1]))
        return features


class TimmEncoder(nn.Module):
    """Any network of the timm library that can return the features of its stages."""

    def __init__(self, name: str, stages: int | None = None, pretrained: bool = False) -> None:
        super().__init__()
        timm = _import_timm()
        keep = {} if stages is None else {"out_indices": tuple(range(stages))}
        try:
            self.net = timm.create_model(name, pretrained=pretrained, features_only=True, in_chans=3, **keep)
        except Exception as error:  # timm raises anything from RuntimeError to IndexError and HTTP errors
            advice = (
                "are its weights downloaded? timm keeps them in its own cache"
                if pretrained
                else _similar(timm, name)
            )
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
    >>> encoder = build_encoder("resnet18:4")
    >>> encoder.channels, encoder.strides
    ((64, 64, 128, 256), (2, 4, 8, 16))
    """
    if name.startswith("timm:"):
        base, _, cut = name.removeprefix("timm:").partition(":")
        return TimmEncoder(base, _stages(name, cut, most=9) if cut else None, pretrained=imagenet)
    base, _, cut = name.partition(":")
    if base == "lite":
        if imagenet:
            raise ValueError(
                f"there are no ImageNet weights for the encoder 'lite': use imagenet=False, or {RESNETS}"
            )
        if "-" in cut:
            channels, depth = _lite_stages(name, cut)
            return LiteEncoder(channels, depth=depth)
        return LiteEncoder(LITE_CHANNELS[: _stages(name, cut, most=len(LITE_CHANNELS))])
    if base not in RESNETS:
        raise ValueError(
            f"encoder {name!r} is not known; choose one of lite, {', '.join(RESNETS)} or timm:NAME"
        )
    encoder = ResNetEncoder(base, _stages(name, cut, most=5))
    if imagenet:
        load_imagenet(encoder, base)
    return encoder


def _stages(name: str, cut: str, most: int) -> int:
    """Return the number of stages asked for behind the colon, all of them if nothing is there."""
    if not cut:
        return most
    if not cut.isdecimal() or not 2 <= int(cut) <= most:
        raise ValueError(f"encoder {name!r}: the stages to keep, {cut!r}, must be a number from 2 to {most}")
    return int(cut)


def _lite_stages(name: str, cut: str) -> tuple[tuple[int, ...], int]:
    """Return channels and blocks per stage of a name such as ``"lite:16-32-64x2"``."""
    stages, _, depth = cut.partition("x")
    numbers = [*stages.split("-"), depth or "1"]
    if not all(number.isdecimal() and int(number) > 0 for number in numbers):
        raise ValueError(
            f"encoder {name!r}: expected the channels of each stage such as 'lite:16-32-64', and behind an x "
            "the residual blocks in each"
        )
    *channels, depth = map(int, numbers)
    return tuple(channels), depth


def _import_timm():  # noqa: ANN202 - a module
    try:
        import timm
    except (
        ImportError,
        RuntimeError,
    ) as error:  # RuntimeError: a torchvision that does not fit the installed torch
        raise ImportError(
            f"encoders named timm:NAME need the timm library ({error}). Install it with "
            "`pip install 'maunet-lite[timm]'` beside a torchvision that matches the installed torch "
            f"({torch.__version__}), or use {', '.join(RESNETS)}, which need nothing"
        ) from error
    return timm


def _similar(timm: object, name: str) -> str:
    similar = timm.list_models(f"*{name.split('_')[0]}*")[:5]
    return f"similar names: {', '.join(similar)}" if similar else "`timm.list_models()` lists what there is"
