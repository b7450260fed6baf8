"""What is trained, and by which loss: the methods that the training loop knows.

The loop (`training`) draws patches, steps, logs, validates, saves and resumes; a method says the rest. The
supervised protocol is here, consistency regularization in `consistency`.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

from maunet_lite.checkpoints import load_model, read_record
from maunet_lite.datasets import CellDataset
from maunet_lite.losses import supervised_loss
from maunet_lite.model import MAUNet, ModelConfig, build_model
from maunet_lite.patches import PatchDataset, TargetConfig
from maunet_lite.recipes import HEADS, TrainConfig


class Method(Protocol):
    """What a training method must offer to the loop."""

    def build(self) -> nn.Module:
        """Return the module whose parameters are trained."""

    @property
    def draws_per_step(self) -> int:
        """Number of items of `patches` in one step."""

    @property
    def epoch_draws(self) -> int:
        """Number of items that make an epoch: one for each labelled training image."""

    def patches(self, n_draws: int) -> Dataset:
        """Return the patches to draw, in order."""

    def loss(self, module: nn.Module, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """Return the parts of the loss by name; ``"loss"`` is minimised."""

    def network(self, module: nn.Module) -> MAUNet:
        """Return the network that is used at inference."""


class Supervised:
    """The fully-supervised protocol (paper Table 2): L_cls + L_reg on labelled patches."""

    def __init__(self, config: TrainConfig, train: CellDataset) -> None:
        self.config, self.train = config, train.labelled()
        if not len(self.train):
            raise ValueError(
                f"dataset {train.name!r} has no labelled training image; see `maunet-lite data check`"
            )

    def build(self) -> nn.Module:
        """Return a new network, or the one to fine-tune."""
        return build_network(self.config)

    @property
    def draws_per_step(self) -> int:
        """Return the batch size."""
        return self.config.batch_size

    @property
    def epoch_draws(self) -> int:
        """Return the number of labelled training images."""
        return len(self.train)

    def patches(self, n_draws: int) -> Dataset:
        """Return labelled patches."""
        c = self.config
        if c.wild is not None:
            from maunet_lite.wild_patches import WildPatches  # loads MONAI

            patch = c.augmentation.patch
            return WildPatches(self.train, n_draws, patch, c.targets.intensity, c.seed, c.balance, **c.wild)
        return PatchDataset(self.train, n_draws, c.augmentation, c.targets, c.seed, c.balance)

    def loss(self, module: nn.Module, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """Return Dice, focal and distance loss and their sum."""
        output = module(batch["image"])
        return supervised_loss(output, batch["classes"], batch["distance"], self.config.n_classes)

    def network(self, module: nn.Module) -> MAUNet:
        """Return the network itself."""
        return module


def build_network(config: TrainConfig) -> MAUNet:
    """Return the network that `config` asks for: new, from ImageNet, or fine-tuned from earlier weights."""
    if config.start_from:
        return load_model(config.start_from).train()
    fields = {"distance": config.distance, "boundary": config.boundary, "intensity": config.targets.intensity}
    return build_model(config.model, config.proxy, config.imagenet, **fields, **config.network)


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
    differ = [name for name in (*HEADS, *parts) if getattr(asked, name) != getattr(there, name)]
    chosen = config.model != TrainConfig.model or bool(config.network)
    for name in differ:
        if chosen if name in parts else not getattr(asked, name):
            advice = "leave out model and network" if name in parts else f"leave out {name}"
            raise ValueError(
                f"{name}={getattr(asked, name)!r} contradicts the weights {config.start_from!r}, "
                f"whose network has {name}={getattr(there, name)!r}: {advice}, or train a new network, "
                "without start_from (--from)"
            )
    if asked.intensity not in (there.intensity, TargetConfig.intensity):
        raise ValueError(
            f"intensity={asked.intensity!r} contradicts the weights {config.start_from!r}, trained on images "
            f"scaled by intensity={there.intensity!r}: leave out intensity"
        )
    changes = {name: getattr(there, name) for name in (*HEADS, "intensity")}
    if any(name in parts for name in differ):
        changes["network"] = {name: getattr(there, name) for name in parts}
    return config.override(**changes)
