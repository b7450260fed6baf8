"""MAUNet (paper 2.2): one encoder, an ambiguity-aware and an instance-aware decoder, and the proxy."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Annotated, Any, Literal, NamedTuple

from torch import Tensor, nn

from maunet_lite.network.blocks import ResidualBlock, SubpixelHead, UpBlock
from maunet_lite.network.checkpoints.pretrained import Pretrained
from maunet_lite.network.encoders import build_encoder
from maunet_lite.postprocessing import NOT_NEGATIVE, Options
from maunet_lite.preprocessing import ScalingMethod


class Output(NamedTuple):
    """What the network returns.

    logits : (B, C, H, W), channels background, interior, boundary (if configured) and the proxy (if
    configured, last). distance : (B, 1, H, W), the raw distance field, or None without the distance decoder.
    """

    logits: Tensor
    distance: Tensor | None


@dataclass(frozen=True)
class ModelConfig(Options):
    """Everything that defines an architecture. Each ablation of the paper is one field.

    Parameters
    ----------
    encoder : str
        A name that `network.build_encoder` knows.
    widths : sequence of int, optional
        Decoder channels, full resolution first, then one per encoder stride. A leading 0 leaves out the
        full-resolution block: the heads then unfold sub-pixels from the finest encoder stride.
        By default the paper's rule, see `default_widths`.
    proxy : bool
        Add the anti-ambiguity proxy as last class channel (paper 2.2.3, "AAP").
    distance : bool
        Build the instance-aware decoder (paper 2.2.2; without it: "w/o L_reg").
    boundary : bool
        Three semantic classes; without it background and interior only.
    norm : {"instance", "batch"}
        Normalisation in skips and decoders; the paper uses "instance".
    intensity : {"authors", "paper", "robust"}
        How images are scaled for the network, in training and wherever it is used
        (`preprocessing.normalize`).

    Raises
    ------
    ValueError
        If a field has a value it cannot have.

    Examples
    --------
    >>> ModelConfig("resnet18", [24, 24, 48, 96, 192, 384]).widths  # as JSON returns it
    (24, 24, 48, 96, 192, 384)
    """

    encoder: str
    widths: tuple[Annotated[int, NOT_NEGATIVE], ...] | None = None
    proxy: bool = True
    distance: bool = True
    boundary: bool = True
    norm: Literal["instance", "batch"] = "instance"
    intensity: ScalingMethod = "authors"

    def __post_init__(self) -> None:
        """Refuse what no network can have."""
        super().__post_init__()
        if self.widths is not None and (len(self.widths) < 2 or 0 in self.widths[1:]):
            what = "numbers of channels such as (24, 24, 48, 96), full resolution first"
            raise ValueError(f"widths={self.widths!r} must be {what}, which alone may be 0: left out")


def default_widths(strides: Sequence[int], full_resolution: bool = True) -> tuple[int, ...]:
    """Return decoder widths for an encoder: 12 channels per pixel of stride, at least 24, as in the paper.

    Parameters
    ----------
    strides : sequence of int
        Of the encoder, finest first.
    full_resolution : bool
        False asks for heads that unfold sub-pixels from the finest stride. Strides above 2 are too coarse for
        that.

    Examples
    --------
    >>> default_widths((2, 4, 8, 16, 32))
    (24, 24, 48, 96, 192, 384)
    """
    first = 24 if full_resolution or strides[0] > 2 else 0
    return (first, *(max(24, 12 * stride) for stride in strides))


PRESETS: dict[str, ModelConfig] = {
    "paper-r50": ModelConfig("resnet50", (24, 24, 48, 96, 192, 384)),
    "paper-wr50": ModelConfig("wide_resnet50_2:4", (24, 24, 48, 96, 192)),
    "lite": ModelConfig("lite", (0, 16, 32, 64, 96, 128), norm="batch", intensity="robust"),
}


class Decoder(nn.Module):
    """The upsampling path of a U-Net: from the deepest skip connection to the finest one."""

    def __init__(self, widths: Sequence[int], ratios: Sequence[int], norm: str) -> None:
        super().__init__()
        # widths finest first: the block that produces widths[i] consumes widths[i + 1].
        levels = [*zip(widths[1:], widths[:-1], ratios, strict=True)]
        self.blocks = nn.ModuleList(UpBlock(deep, fine, norm, ratio) for deep, fine, ratio in levels[::-1])

    def forward(self, skips: list[Tensor]) -> Tensor:
        """Return (B, widths[0], H, W) from `skips`, finest first."""
        x = skips[-1]
        for block, skip in zip(self.blocks, reversed(skips[:-1]), strict=True):
            x = block(x, skip)
        return x


class MAUNet(Pretrained):
    """Modality-aware anti-ambiguity U-Net (paper Fig. 2).

    Parameters
    ----------
    config : ModelConfig
    encoder : nn.Module, optional
        Use this instead of building ``config.encoder``: a module with ``channels`` and ``strides`` (see
        `encoders`).

    Attributes
    ----------
    config : ModelConfig
        With the widths that were used.
    settings : dict
        What is known about its use, kept in the record beside the weights: ``sizes``, the least and largest
        diameter in pixels of the cells that it was trained for, and ``postprocess``, fields of
        `PostprocessConfig` that differ from the default, and ``score``, three numbers that make scores of
        cells probabilities (`inference.score_cells`). Empty for a new network.
    skips : nn.ModuleList
        One residual block per resolution, finest first; both decoders read their outputs.
    class_decoder, distance_decoder : Decoder
        Ambiguity-aware and instance-aware; the latter is None without distance field.

    Raises
    ------
    ValueError
        If the number of widths does not fit the encoder, or if its strides do not divide each other.
    """

    config_class = ModelConfig

    def __init__(self, config: ModelConfig, encoder: nn.Module | None = None) -> None:
        super().__init__()
        self.encoder = build_encoder(config.encoder) if encoder is None else encoder
        channels, strides = (3, *self.encoder.channels), (1, *self.encoder.strides)
        widths = config.widths or default_widths(self.encoder.strides)
        self.config = replace(config, widths=widths)
        self.settings: dict[str, Any] = {}
        if len(widths) != len(channels):
            needed = f"{len(channels)}: one for full resolution (0: none), one for each stride {strides[1:]}"
            raise ValueError(f"widths has {len(widths)} entries {widths}, {config.encoder!r} needs {needed}")
        if widths[0] == 0:
            channels, strides, widths = channels[1:], strides[1:], widths[1:]
        if any(deep % fine for fine, deep in pairwise(strides)):
            raise ValueError(f"{config.encoder} has strides {strides[1:]}, not each a multiple of the last")
        ratios = [deep // fine for fine, deep in pairwise(strides)]
        pairs = zip(channels, widths, strict=True)
        self.skips = nn.ModuleList(ResidualBlock(before, after, config.norm) for before, after in pairs)
        self.class_decoder = Decoder(widths, ratios, config.norm)
        self.class_head = SubpixelHead(widths[0], self.n_classes + config.proxy, strides[0])
        self.distance_decoder = Decoder(widths, ratios, config.norm) if config.distance else None
        self.distance_head = SubpixelHead(widths[0], 1, strides[0]) if config.distance else None

    @property
    def n_classes(self) -> int:
        """Number of target classes: background, interior and, if configured, boundary; not the proxy."""
        return 3 if self.config.boundary else 2

    @property
    def stride(self) -> int:
        """Image sides must be multiples of this many pixels."""
        return self.encoder.strides[-1]

    def forward(self, x: Tensor) -> Output:
        """Return logits and distance for images (B, 3, H, W) in [0.01, 0.99], sides multiples of `stride`."""
        if x.ndim != 4 or x.shape[1] != 3:
            raise ValueError(f"expected images of shape (B, 3, H, W), got {tuple(x.shape)}")
        if x.shape[2] % self.stride or x.shape[3] % self.stride:
            cure = "pad them, or call maunet_lite.inference.predict, which takes images of any size"
            raise ValueError(f"image sides {tuple(x.shape[2:])} are not multiples of {self.stride}: {cure}")
        skips = self.skip_features(x)
        logits = self.class_head(self.class_decoder(skips))
        distance = self.distance_head(self.distance_decoder(skips)) if self.config.distance else None
        return Output(logits, distance)

    def skip_features(self, x: Tensor) -> list[Tensor]:
        """Return the skip connections both decoders share, finest first."""
        features = [*([x] if self.config.widths[0] else []), *self.encoder(x)]
        return [skip(feature) for skip, feature in zip(self.skips, features, strict=True)]


def build_model(preset: str, proxy: bool = True, imagenet: bool = False, **overrides: object) -> MAUNet:
    """Build a network by preset name, with any field of `ModelConfig` overridden.

    Parameters
    ----------
    preset : str
        One of `PRESETS`.
    proxy : bool
        Add the anti-ambiguity proxy.
    imagenet : bool
        Start the encoder from ImageNet weights (downloaded once and verified; paper 2.2.1).
    **overrides
        Fields of `ModelConfig`, for example ``distance=False`` or ``encoder="resnet18"``. With another
        encoder and no `widths`, the decoders follow from its strides (`default_widths`).

    Returns
    -------
    MAUNet
        In training mode, randomly initialised apart from the encoder if `imagenet`.

    Raises
    ------
    ValueError
        If the preset, a field or its value is not known.

    Examples
    --------
    >>> import torch
    >>> model = build_model("lite")
    >>> logits, distance = model(torch.zeros(1, 3, 64, 96))
    >>> tuple(logits.shape), tuple(distance.shape)
    ((1, 4, 64, 96), (1, 1, 64, 96))
    >>> build_model("lite", proxy=False, distance=False)(torch.zeros(1, 3, 64, 64)).distance is None
    True
    """
    config = preset_config(preset, proxy=proxy, **overrides)
    encoder = build_encoder(config.encoder, imagenet=imagenet)
    if config.encoder != PRESETS[preset].encoder and "widths" not in overrides:
        config = replace(config, widths=default_widths(encoder.strides, PRESETS[preset].widths[0] > 0))
    return MAUNet(config, encoder)


def preset_config(preset: str, **overrides: object) -> ModelConfig:
    """Return the configuration called `preset`, with fields overridden; unknown names raise a ValueError.

    Examples
    --------
    >>> preset_config("paper-r50", proxy=False).proxy
    False
    """
    if preset not in PRESETS:
        raise ValueError(f"preset {preset!r} is not known; choose one of {', '.join(PRESETS)}")
    return PRESETS[preset].override(**overrides)
