"""The networks of an ensemble: which they are, what they have in common, how their outputs become one."""

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from maunet_lite.network import MAUNet, Output, find_checkpoint, load_model
from maunet_lite.postprocessing import Maps

Model = MAUNet | str | Path


def as_models(models: Model | Sequence[Model]) -> list[MAUNet]:
    """Return the networks that are meant by a name, a path, a network or a sequence of them."""
    models = [models] if isinstance(models, (nn.Module, str, Path)) else list(models)
    if not models:
        raise ValueError("no model was given: name one, such as 'lite', or pass a network")
    paths = [find_checkpoint(m).resolve() if isinstance(m, (str, Path)) else m for m in models]
    return [_load(path, _modified(path)) if isinstance(path, Path) else path for path in paths]


def _modified(path: Path) -> tuple[int, ...]:
    """Return when weights were changed, and the settings beside them."""
    return tuple(file.stat().st_mtime_ns for file in (path, *sorted(path.parent.glob("*.json"))))


@lru_cache(maxsize=4)
def _load(path: Path, modified: tuple[int, ...]) -> MAUNet:
    return load_model(path)


def intensity_of(models: Sequence[MAUNet]) -> str:
    """Return how images are scaled for `models`; refuse an ensemble that does not agree on it."""
    ways = sorted({model.config.intensity for model in models})
    if len(ways) > 1:
        raise ValueError(f"the networks were trained on differently scaled images ({', '.join(ways)})")
    return ways[0]


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
    def of(cls, models: Sequence[MAUNet]) -> "Heads":
        """Count the heads of `models`; their target classes must agree."""
        counts = {model.n_classes for model in models}
        if len(counts) > 1:
            found = f"some lack the boundary class (numbers of classes: {[m.n_classes for m in models]})"
            raise ValueError(f"an ensemble must have the same classes, but {found}: use each group alone")
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
        field = [] if distance is None else [distance / (self.distances * n_scales)]
        return torch.cat([share, *field], dim=1)

    def maps(self, total: Tensor) -> Maps:
        """Turn mean logits, in place, and the mean distance into `Maps`.

        Raises
        ------
        ValueError
            If they are not finite: they would be read as an image without cells.
        """
        for rows in total.split(256, dim=1):  # no second copy of a large image
            if not rows.isfinite().all():
                cause = "its weights are damaged or its training diverged"
                raise ValueError(f"the network returns values that are infinite or no numbers: {cause}")
            rows[: self.n_logits] = rows[: self.n_logits].softmax(dim=0)
        values = total.cpu().numpy()
        probabilities = values[: self.n_logits]
        if self.n_classes == 2 and self.n_logits == 3:
            # Maps know the proxy as their fourth channel.
            probabilities = np.insert(probabilities, 2, 0, axis=0)
        return Maps(probabilities, values[self.n_logits] if self.distances else None)
