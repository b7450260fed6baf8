"""What the networks of an ensemble have in common, and how their outputs become one set of maps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from maunet_lite.network import MAUNet, Output
from maunet_lite.postprocessing import Maps

SOFTMAX_ROWS = 256  # rows turned into probabilities at a time


class Heads(NamedTuple):
    """What the networks of an ensemble have in common, and how their outputs are averaged.

    n_classes : target classes, the same in all networks.
    proxies : networks that have the proxy.
    distances : networks that have the distance decoder.
    members : networks.
    """

    n_classes: int
    proxies: int
    distances: int
    members: int

    @classmethod
    def of(cls, models: Sequence[MAUNet]) -> Heads:
        """Count the heads of `models`; their target classes must agree."""
        counts = {model.n_classes for model in models}
        if len(counts) > 1:
            raise ValueError(
                "the models of an ensemble must have the same classes, but some have the boundary class and "
                f"some have not ({[model.n_classes for model in models]} classes): use each group alone"
            )
        proxies, distances = (sum(getattr(m.config, head) for m in models) for head in ("proxy", "distance"))
        return cls(counts.pop(), proxies, distances, len(models))

    @property
    def n_logits(self) -> int:
        """Number of averaged logits: the proxy is kept if every network has it."""
        return self.n_classes + (self.proxies == self.members)

    @property
    def n_maps(self) -> int:
        """Number of maps that are summed: logits, then the distance if any network has one."""
        return self.n_logits + (self.distances > 0)

    def share(self, output: Output, model: MAUNet, n_scales: int) -> Tensor:
        """Return what the output of `model` adds to the mean, (B, n_maps, H, W), or without the distance."""
        logits, distance = output
        if self.proxies not in (0, self.members):
            # A network without proxy gives it no probability: log p of the classes can be compared.
            logits = logits.log_softmax(dim=1)[:, : self.n_classes]
        share = logits / (self.members * n_scales)
        return (
            share if distance is None else torch.cat([share, distance / (self.distances * n_scales)], dim=1)
        )

    def maps(self, total: Tensor) -> Maps:
        """Turn mean logits, in place, and the mean distance into `Maps`."""
        for rows in total[: self.n_logits].split(SOFTMAX_ROWS, dim=1):
            rows.copy_(rows.softmax(dim=0))
        values = total.cpu().numpy()
        probabilities = values[: self.n_logits]
        if self.n_classes == 2 and self.n_logits == 3:
            # Maps know the proxy as their fourth channel.
            probabilities = np.insert(probabilities, 2, 0, axis=0)
        return Maps(probabilities, values[self.n_logits] if self.distances else None)
