"""Consistency regularization: two networks supervise each other on unlabelled images (paper 2.2.4).

Both networks have the same architecture and different initial weights. On labelled patches each minimises
L_cls + L_reg; on unlabelled ones each learns from the other's pseudo labels (equation 3), weighted by λ
(equation 4). At inference the first network works alone.

The paper's CR* is "CR directly added to the classification loss". Read here as: only the classification part
of equation 3, on every image of the batch, labelled or not; distances are not made consistent.
"""

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

from maunet_lite.data import CellDataset, load_dataset
from maunet_lite.network import MAUNet, Output, build_encoder
from maunet_lite.preprocessing import PatchDataset
from maunet_lite.training import losses
from maunet_lite.training.methods import Supervised
from maunet_lite.training.recipes import TrainConfig


class TwinNetworks(nn.Module):
    """Two networks of the same architecture with different initial weights (paper Fig. 3)."""

    def __init__(self, one: MAUNet, two: MAUNet) -> None:
        super().__init__()
        self.one, self.two = one, two

    def forward(self, x: Tensor) -> tuple[Output, Output]:
        """Return both networks' outputs for images (B, 3, H, W)."""
        return self.one(x), self.two(x)


class PairedPatches(Dataset):
    """Item k holds a labelled patch and, under ``"unlabelled_image"``, an unlabelled one.

    Where the truth of an "unlabelled" image is known after all (a labelled fraction was asked for), it is
    passed on as ``"hidden_classes"``. It is never trained on and does not choose the patches: it only
    measures how good the pseudo labels are.
    """

    def __init__(self, labelled: PatchDataset, unlabelled: PatchDataset) -> None:
        self.labelled, self.unlabelled = labelled, unlabelled

    def __len__(self) -> int:
        return len(self.labelled)

    def __getitem__(self, k: int) -> dict[str, Tensor | int]:
        other = self.unlabelled[k]
        if self.unlabelled.images[other["index"]].label is None:
            other["classes"] = torch.full_like(other["classes"], -1)
        names = {"image": "unlabelled_image", "classes": "hidden_classes", "index": "unlabelled_index"}
        return self.labelled[k] | {new: other[name] for name, new in names.items()}


class Consistency(Supervised):
    """The semi-supervised protocol (paper Table 3) as a method of `training.train`.

    Half of each batch is labelled, half is not. The training images are a labelled fraction of one dataset
    and its rest, or all labelled images of one dataset and a further folder of images without labels: but
    those that are for validation or test in there, or left out.
    """

    def __init__(self, config: TrainConfig, train: CellDataset) -> None:
        super().__init__(config, train)
        if config.unlabelled:
            rest = load_dataset(config.unlabelled, **config.reading)
            apart = rest.table[["split", "modality", "source"]].isin(["val", "test", *config.leave_out])
            self.rest = rest.select(~apart.any(axis=1))
        if not len(self.rest):
            raise ValueError(f"{config.method!r} needs images without labels; {self.rest.name!r} has none")
        if config.batch_size % 2:
            raise ValueError(f"batch_size={config.batch_size} must be even: half of the images lack labels")
        self.draws_per_step = config.batch_size // 2  # pairs
        self.modalities = self.rest.table["modality"].to_numpy()

    def build(self) -> nn.Module:
        """Return two networks with different initial weights."""
        one = super().build()
        encoder = build_encoder(one.config.encoder, imagenet=self.config.imagenet)
        return TwinNetworks(one, MAUNet(one.config, encoder))

    def network(self, module: nn.Module) -> MAUNet:
        """Return network 1, the only one used at inference."""
        return module.one

    def patches(self, n_draws: int) -> Dataset:
        """Return labelled and unlabelled patches in pairs."""
        unlabelled = self.draw(self.rest, n_draws, self.config.seed + 1_000_003, blind=True)
        return PairedPatches(super().patches(n_draws), unlabelled)

    def loss(self, module: nn.Module, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """Return the parts of equation 4 and their sum, and the share of right pseudo labels per modality."""
        c, n, labelled = self.config, self.config.n_classes, len(batch["image"])
        # One pass over the joined batch: batch statistics then see labelled and unlabelled images alike.
        one, two = module(torch.cat([batch["image"], batch["unlabelled_image"]]))
        targets = batch["classes"], batch["distance"], n
        first, second = (losses.supervised_loss(_part(o, slice(labelled)), *targets) for o in (one, two))
        if c.method == "cr*":
            consistency = losses.classification_consistency(one.logits, two.logits, n)
        else:
            consistency = losses.consistency_loss(*(_part(o, slice(labelled, None)) for o in (one, two)), n)
        total = first["loss"] + second["loss"] + c.consistency_weight * consistency
        parts = {name: (first[name] + second[name]) / 2 for name in first}
        agreement = self._agreement(one, two, batch, labelled)
        return parts | {"loss": total, "consistency": consistency} | agreement

    @torch.no_grad()
    def _agreement(self, one: Output, two: Output, batch: dict, labelled: int) -> dict[str, Tensor]:
        """How often the networks agree, and how often network 1 names the hidden truth, by modality."""
        n = self.config.n_classes
        first, second = (losses.pseudo_labels(o.logits[labelled:], n) for o in (one, two))
        parts = {"agreement": (first == second).float().mean()}
        hidden = batch["hidden_classes"].clamp(max=n - 1)
        modalities = self.modalities[batch["unlabelled_index"].cpu().numpy()]
        for name in np.unique(modalities):
            rows = torch.from_numpy(np.flatnonzero(modalities == name)).to(first.device)
            truth, guess = hidden[rows], first[rows]
            if (truth >= 0).all():
                parts[f"pseudo_accuracy_{name}"] = pseudo_accuracy(guess, truth)
        return parts


def pseudo_accuracy(guess: Tensor, truth: Tensor) -> Tensor:
    """Return the share of pixels that `guess` names rightly, averaged over the classes that occur in `truth`.

    Averaged over classes, because a network that calls every pixel background is right on most pixels of most
    images.

    Examples
    --------
    >>> truth = torch.tensor([[0, 0, 0, 1]])
    >>> pseudo_accuracy(torch.zeros_like(truth), truth).item()
    0.5
    """
    return torch.stack([(guess[truth == c] == c).float().mean() for c in truth.unique()]).mean()


def _part(output: Output, rows: slice) -> Output:
    return Output(output.logits[rows], None if output.distance is None else output.distance[rows])
