"""What is trained, and by which loss: the methods that the training loop knows.

The loop (`training`) draws patches, steps, logs, validates, saves and resumes; a method says the rest. The
supervised protocol is here, consistency regularization in `consistency`.
"""

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

from maunet_lite.data import CellDataset
from maunet_lite.network import MAUNet, ModelConfig, build_model, load_model, read_record
from maunet_lite.preprocessing import PatchDataset, TargetConfig
from maunet_lite.training.losses import supervised_loss
from maunet_lite.training.recipes import HEADS, TrainConfig


class Supervised:
    """The fully-supervised protocol (paper Table 2): L_cls + L_reg on labelled patches.

    It is also what the loop needs to know of a method: another one changes what differs.
    """

    def __init__(self, config: TrainConfig, train: CellDataset) -> None:
        self.config, self.draws_per_step = config, config.batch_size  # items of `patches`
        rng = np.random.default_rng(config.seed)
        self.labelled, self.rest = train.labelled().fraction(config.labelled_fraction, rng)
        if not len(self.labelled):
            raise ValueError(f"{train.name!r} has no labelled training image; see `maunet-lite data check`")

    def build(self) -> nn.Module:
        """Return the module whose parameters are trained: a new network, or the one to fine-tune."""
        return build_network(self.config)

    def network(self, module: nn.Module) -> MAUNet:
        """Return the network that is used at inference."""
        return module

    def patches(self, n_draws: int) -> Dataset:
        """Return the patches to draw, in order."""
        return self.draw(self.labelled, n_draws, self.config.seed)

    def draw(self, images: CellDataset, n_draws: int, seed: int, blind: bool = False) -> PatchDataset:
        """Return random patches of `images`, as the configuration says; `blind`: see `PatchDataset`."""
        c = self.config
        return PatchDataset(images, n_draws, c.augmentation, c.targets, seed, c.balance, blind=blind)

    def loss(self, module: nn.Module, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """Return the parts of the loss by name; ``"loss"``, their sum, is minimised."""
        output = module(batch["image"])
        return supervised_loss(output, batch["classes"], batch["distance"], self.config.n_classes)


def build_network(config: TrainConfig) -> MAUNet:
    """Return the network that `config` asks for: new, from ImageNet, or fine-tuned from earlier weights.

    If cells get sizes of a range in training, its settings say so: inference brings cells there.
    """
    if config.start_from:
        network = load_model(config.start_from).train()
    else:
        fields = {name: getattr(config, name) for name in ("distance", "boundary")}
        fields["intensity"] = config.targets.intensity
        network = build_model(config.model, config.proxy, config.imagenet, **fields, **config.network)
    if config.augmentation.sizes:
        network.settings["sizes"] = list(config.augmentation.sizes)
    return network


def check_patch(network: MAUNet, patch: int, images: int) -> None:
    """Refuse patches of which the deepest layer sees a single value per channel, which has no variance.

    Parameters
    ----------
    network : MAUNet
    patch : int
        Side in pixels.
    images : int
        That pass through it together.

    Raises
    ------
    ValueError
        Names the smallest patch that works.
    """
    smallest = network.stride * (2 if network.config.norm == "instance" or images == 1 else 1)
    if patch < smallest:
        left = f"{patch // network.stride} pixels of a side at the network's stride of {network.stride}"
        few = f"too few to normalise {images} images at a time: the smallest that works is {smallest}"
        raise ValueError(f"patch={patch} leaves {left}, {few}")


def with_network_of_weights(config: TrainConfig) -> TrainConfig:
    """Return `config` with the architecture of the weights that it starts from, if it starts from any.

    Heads, encoder, widths and norm of a fine-tuned network are those of its weights. Fields that were left
    alone follow them, so that the record of the run describes the network.

    Raises
    ------
    ValueError
        If `config` asks for another architecture.
    """
    if not config.start_from:
        return config
    there = ModelConfig(**read_record(config.start_from)["config"])
    with torch.device("meta"):
        asked = build_network(replace(config, start_from=None, imagenet=False)).config
    parts = ("encoder", "widths", "norm")
    chosen = config.model != TrainConfig.model or bool(config.network)
    # What was asked for, not left alone: a head is there unless it is switched off.
    meant = {name: not getattr(asked, name) for name in HEADS} | dict.fromkeys(parts, chosen)
    meant["intensity"] = asked.intensity != TargetConfig.intensity
    differ = [name for name in meant if getattr(asked, name) != getattr(there, name)]
    for name in filter(meant.get, differ):
        fields = "model and network" if name in parts else name
        what = f"the weights {config.start_from!r}, whose network has {name}={getattr(there, name)!r}"
        cure = f"leave out {fields}, or train a new network, without start_from (--from)"
        raise ValueError(f"{name}={getattr(asked, name)!r} contradicts {what}: {cure}")
    changes = {name: getattr(there, name) for name in (*HEADS, "intensity")}
    if set(differ) & set(parts):
        changes["network"] = {name: getattr(there, name) for name in parts}
    return config.override(**changes)
