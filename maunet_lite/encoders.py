"""Encoders by name (paper section 2.2.1): any network that returns features at growing strides.

An encoder is a module with two attributes, ``channels`` and ``strides`` (one entry per returned feature map,
finest first), whose ``forward`` turns images (B, 3, H, W) into a list of features (B, channels[i],
H/strides[i], W/strides[i]). The decoders follow from these lists; nothing else is known about the encoder.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from urllib.error import URLError

import torch
from torch import Tensor, nn

from maunet_lite.blocks import ResidualBlock, norm_layer

RESNETS = ("resnet18", "resnet34", "resnet50", "wide_resnet50_2")
LITE_CHANNELS = (24, 48, 96, 144, 192)

# torchvision's weights; the eight characters after the dash begin the SHA-256 of the file.
IMAGENET_URL = "https://download.pytorch.org/models/"
IMAGENET_FILES = {
    "resnet18": "resnet18-f37072fd.pth",
    "resnet34": "resnet34-b627a593.pth",
    "resnet50": "resnet50-0676ba61.pth",
    "wide_resnet50_2": "wide_resnet50_2-95faca4d.pth",
}


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


class ResNetEncoder(nn.Module):
    """A residual network without its classifier, cut after `stages` stages (2 to 5, the stem is the first).

    MONAI's ResNet in two dimensions has torchvision's layers and names, so that ImageNet weights fit.
    """

    def __init__(self, name: str, stages: int = 5) -> None:
        super().__init__()
        net = _monai_resnet(name)
        self.conv1, self.bn1, self.activation, self.maxpool = net.conv1, net.bn1, net.act, net.maxpool
        layers = (net.layer1, net.layer2, net.layer3, net.layer4)[: stages - 1]
        for i, layer in enumerate(layers, start=1):
            self.add_module(f"layer{i}", layer)
        self.n_layers = len(layers)
        width = 64 if name in ("resnet18", "resnet34") else 256
        self.channels = (64, *(width * 2**i for i in range(self.n_layers)))
        self.strides = tuple(2 ** (i + 1) for i in range(stages))

    def forward(self, x: Tensor) -> list[Tensor]:
        """Return the stem's features and one feature map per layer, finest first."""
        features = [self.activation(self.bn1(self.conv1(x)))]  # (B, 64, H/2, W/2)
        x = self.maxpool(features[0])  # (B, 64, H/4, W/4)
        for i in range(1, self.n_layers + 1):
            x = getattr(self, f"layer{i}")(x)
            features.append(x)
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
        leaves the last one out, as the paper does.
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
        return LiteEncoder(LITE_CHANNELS[: _stages(name, cut, most=len(LITE_CHANNELS))])
    if base not in RESNETS:
        raise ValueError(
            f"encoder {name!r} is not known; choose one of lite, {', '.join(RESNETS)} or timm:NAME"
        )
    encoder = ResNetEncoder(base, _stages(name, cut, most=5))
    if imagenet:
        _load_imagenet(encoder, base)
    return encoder


def _stages(name: str, cut: str, most: int) -> int:
    """Return the number of stages asked for behind the colon, all of them if nothing is there."""
    if not cut:
        return most
    if not cut.isdecimal() or not 2 <= int(cut) <= most:
        raise ValueError(f"encoder {name!r}: the stages to keep, {cut!r}, must be a number from 2 to {most}")
    return int(cut)


# --- ImageNet weights --------------------------------------------------------------------------------


def _load_imagenet(encoder: ResNetEncoder, name: str) -> None:
    weights = imagenet_weights(IMAGENET_FILES[name])
    wanted = encoder.state_dict()
    missing = [key for key in wanted if key not in weights and not key.endswith("num_batches_tracked")]
    if missing:
        raise ValueError(
            f"{IMAGENET_FILES[name]} lacks {len(missing)} weights of {name}, first {missing[0]!r}"
        )
    # Also leaves out the classifier (fc.*) and stages that were cut off.
    encoder.load_state_dict({key: value for key, value in weights.items() if key in wanted}, strict=False)


def imagenet_weights(filename: str) -> dict[str, Tensor]:
    """Return torchvision's weights from torch's cache, downloaded if need be; the hash is always checked."""
    cached = Path(torch.hub.get_dir()) / "checkpoints" / filename
    if cached.is_file():
        _check_hash(cached)
    try:
        return torch.hub.load_state_dict_from_url(
            IMAGENET_URL + filename, map_location="cpu", check_hash=True, weights_only=True, progress=False
        )
    except (URLError, OSError) as error:
        raise FileNotFoundError(
            f"ImageNet weights cannot be downloaded ({error}). Fetch {IMAGENET_URL}{filename} on a machine "
            f"with internet access and put it to {cached}, or use imagenet=False"
        ) from error


def _check_hash(path: Path) -> None:
    # torch checks what it downloads, not what it finds.
    expected = path.stem.rpartition("-")[2]
    found = hashlib.sha256(path.read_bytes()).hexdigest()
    if not found.startswith(expected):
        raise ValueError(
            f"{path} is damaged or something else: its SHA-256 begins with {found[: len(expected)]}, not "
            f"{expected}. Delete it; it will be downloaded again from {IMAGENET_URL}{path.name}"
        )


# --- other people's networks -------------------------------------------------------------------------


def _monai_resnet(name: str) -> nn.Module:
    # Imported here: MONAI takes seconds to import and the lite encoder does not need it.
    from monai.networks.nets import resnet

    small = name in ("resnet18", "resnet34")
    block: type[nn.Module] = resnet.ResNetBlock if small else resnet.ResNetBottleneck
    if name == "wide_resnet50_2":
        block = _wide_bottleneck(resnet.ResNetBottleneck)
    return resnet.ResNet(
        block,
        [2, 2, 2, 2] if name == "resnet18" else [3, 4, 6, 3],
        resnet.get_inplanes(),
        spatial_dims=2,
        n_input_channels=3,
        conv1_t_size=7,
        conv1_t_stride=2,
        shortcut_type="B",
        feed_forward=False,
        bias_downsample=False,
    )


def _wide_bottleneck(bottleneck: type[nn.Module]) -> type[nn.Module]:
    class WideBottleneck(bottleneck):
        """A bottleneck with twice the inner channels (Zagoruyko and Komodakis 2016)."""

        def __init__(self, in_planes: int, planes: int, *args: object, **kwargs: object) -> None:
            super().__init__(in_planes, planes, *args, **kwargs)
            inner = 2 * planes
            self.conv1 = nn.Conv2d(in_planes, inner, 1, bias=False)
            self.bn1 = nn.BatchNorm2d(inner)
            self.conv2 = nn.Conv2d(inner, inner, 3, stride=self.stride, padding=1, bias=False)
            self.bn2 = nn.BatchNorm2d(inner)
            self.conv3 = nn.Conv2d(inner, planes * self.expansion, 1, bias=False)

    return WideBottleneck


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
