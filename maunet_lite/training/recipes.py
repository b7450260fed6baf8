"""Training recipes: everything a run depends on, in one readable record (paper Tables 2 and 3).

A recipe is a `TrainConfig`; `RECIPES` names the ones that come with the kit. A run writes its configuration
to ``config.json``, from which it can be repeated.
"""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np

from maunet_lite.postprocessing import NOT_NEGATIVE, POSITIVE, SHARE, Options, read_json
from maunet_lite.preprocessing import AugmentationConfig, TargetConfig

Positive, PositiveInt = Annotated[float, POSITIVE], Annotated[int, POSITIVE]
Count, Amount = Annotated[int, NOT_NEGATIVE], Annotated[float, NOT_NEGATIVE]
BUDGETS = ("steps", "epochs", "minutes")
HEADS = ("proxy", "distance", "boundary")


@dataclass(frozen=True)
class TrainConfig(Options):
    """What to train, on what, how, and for how long.

    Data
        data : dataset name or folder; channel, plane, project : how its images are read, see
        `data.read_image`; out : folder of the run; labelled_fraction : share of the labelled
        training images to use (with ``method="cr"`` the rest is used without labels); unlabelled : instead
        of that rest, a further folder of images without labels (``"cr"`` only; none of its splits "val" and
        "test"); leave_out : modalities or sources that are not
        trained on, to see how a network does on what it never saw; balance : see
        `preprocessing.source_weights`.
    Network
        model : preset of `network.PRESETS`; network : further fields of `network.ModelConfig` to change, for
        example ``{"encoder": "resnet18"}``; proxy, distance, boundary : its heads; imagenet : pretrained
        encoder; start_from : weights to fine-tune (name or path), instead of a new network: theirs is the
        architecture, and fields that ask for another one are refused.
    Method
        method : ``"supervised"``, ``"cr"`` or ``"cr*"`` (see `consistency`); consistency_weight : λ of
        equation 4.
    Budget (the first that is reached ends the run)
        steps : optimiser steps; epochs : passes over the training images; minutes : wall-clock time,
        validation included.
    Optimisation
        batch_size; learning_rate; schedule : ``"cosine"`` or ``"step"`` (paper); warmup : steps;
        weight_decay; clip_norm : gradients are shortened to this norm; seed.
    Watching (in steps; 0 means never)
        validate_every, save_every, log_every; validation_images : at most so many are scored, at least one.
    Machine
        device : ``"auto"``, ``"cpu"`` or ``"cuda"``; workers : loader processes, None
        chooses: none without a GPU, where they would take cores away, and else more the longer the run is;
        they are new processes, so scripts need ``if __name__ == "__main__":``; precision : ``"float32"``,
        ``"bfloat16"`` (mixed: weights stay float32), or ``"auto"``: bfloat16 on GPUs that compute in it,
        float32 elsewhere. Some CPUs (AVX-512 BF16, AMX) train much faster in bfloat16, others emulate it
        slowly: measure with ``python -m benchmarks.training``; compile : let ``torch.compile`` make kernels
        for the training step, which takes a minute or two at the start (and, on a CPU, a C++ compiler).
    """

    data: str = "simulated"
    channel: int | str | None = None
    plane: int | str | None = None
    project: Literal["max", "mean"] | None = None
    out: str = "runs/latest"
    labelled_fraction: Annotated[float, SHARE] = 1.0
    unlabelled: str | None = None
    leave_out: tuple[str, ...] = ()
    balance: float = 0.5
    model: str = "lite"
    network: dict[str, Any] = field(default_factory=dict)
    proxy: bool = True
    distance: bool = True
    boundary: bool = True
    imagenet: bool = False
    start_from: str | None = None
    method: Literal["supervised", "cr", "cr*"] = "supervised"
    consistency_weight: Amount = 1.5
    steps: PositiveInt | None = None
    epochs: Positive | None = None
    minutes: Positive | None = None
    batch_size: PositiveInt = 8
    learning_rate: Positive = 2e-3
    schedule: Literal["cosine", "step"] = "cosine"
    warmup: Count = 100
    weight_decay: Amount = 0.01
    clip_norm: Positive = 10.0
    seed: Count = 0
    validate_every: Count = 500
    save_every: Count = 100
    log_every: Count = 20
    validation_images: PositiveInt = 100
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    workers: Count | None = None
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    compile: bool = False
    augmentation: AugmentationConfig = field(default_factory=AugmentationConfig)
    targets: TargetConfig = field(default_factory=TargetConfig)

    def __post_init__(self) -> None:
        """Refuse what cannot be meant."""
        if isinstance(self.leave_out, str):  # one name, as typed on the command line
            object.__setattr__(self, "leave_out", (self.leave_out,))
        super().__post_init__()
        if heads := [name for name in HEADS if name in self.network]:
            raise ValueError(f"network holds {heads[0]!r}, which is a field of its own: set {heads[0]}")
        if self.labelled_fraction == 0:
            raise ValueError("labelled_fraction=0 leaves nothing to learn from; give a share in (0, 1]")
        if self.method == "supervised" and self.unlabelled:
            raise ValueError(f"unlabelled={self.unlabelled!r} is of no use without method='cr' or 'cr*'")
        if self.method != "supervised" and (self.labelled_fraction < 1) == bool(self.unlabelled):
            cure = "give a labelled_fraction below 1 or an unlabelled folder, one of both"
            raise ValueError(f"method={self.method!r} needs images without labels: {cure}")

    @property
    def reading(self) -> dict[str, Any]:
        """How images are read."""
        return {"channel": self.channel, "plane": self.plane, "project": self.project}

    @property
    def n_classes(self) -> int:
        """Number of target classes."""
        return 3 if self.boundary else 2

    def total_steps(self, epoch_length: float) -> int | None:
        """Return the budget in steps, or None if only time limits it; an epoch has `epoch_length` steps."""
        if not (self.steps or self.epochs or self.minutes):
            raise ValueError("the run has no budget: give steps, epochs or minutes")
        epochs = max(1, round(self.epochs * epoch_length)) if self.epochs else None
        return min((limit for limit in (self.steps, epochs) if limit), default=None)

    def override(self, **changes: Any) -> "TrainConfig":
        """Return a copy with fields changed; names such as ``patch`` reach into `augmentation` and `targets`.

        A budget (steps, epochs or minutes) replaces the budgets that were there before.

        Examples
        --------
        >>> TrainConfig(steps=10).override(patch=64, minutes=1.0).augmentation.patch
        64
        >>> TrainConfig(minutes=15).override(steps=10).minutes is None
        True
        """
        if any(changes.get(name) is not None for name in BUDGETS):
            changes = dict.fromkeys(BUDGETS) | changes
        return super().override(**changes)


_PAPER = TrainConfig(  # with the patches and the λ of the defaults, which are the paper's
    data="neurips22", model="paper-r50", imagenet=True, targets=TargetConfig(intensity="authors"),
    epochs=1000, batch_size=16, balance=1.0, learning_rate=6e-4, schedule="step", warmup=0,
    validate_every=1000,
)  # fmt: skip

_RANDOMIZED = AugmentationConfig(  # cells of 9 to 80 pixels, in any light
    patch=256, sizes=(9.0, 80.0), zoom=(0.12, 4.0), around_cell=0.6, padding="either", p_resize=0.6,
    p_intensity=0.0, p_colour=0.25, p_polarity=0.15, p_debris=0.1, p_light=0.35, p_sparse=0.06, p_focus=0.2,
    p_noise=0.2,
)  # fmt: skip

# The paper's augmentation in small patches, seldom much enlarged: a CPU's time goes into cells, not into
# pixels.
_PLAIN = AugmentationConfig(
    patch=256, zoom=(0.5, 2.0), zoom_spacing="log", p_resize=0.5, around_cell=0.5, padding="black"
)

RECIPES: dict[str, TrainConfig] = {
    # Two CPU cores, minutes to hours, 15 unless another budget is given; the shipped weights were made so.
    # Patches as users' images may be.
    "lite": TrainConfig(minutes=15, learning_rate=1e-3, balance=0.35, augmentation=_RANDOMIZED),
    # For images like those that are trained on, and to see what the changes above bring.
    "lite-plain": TrainConfig(minutes=15, augmentation=_PLAIN),
    # Paper Table 2.
    "paper-supervised": _PAPER,
    # Paper Table 3: 8 labelled and 8 unlabelled images per batch.
    "paper-semi": replace(_PAPER, method="cr", epochs=700, unlabelled="neurips22-unlabelled"),
    "paper-r50": _PAPER,
    "paper-wr50": replace(_PAPER, model="paper-wr50"),
}


def recipe(name: str) -> TrainConfig:
    """Return the recipe called `name`, or the one in a ``config.json`` of an earlier run."""
    if name in RECIPES:
        return RECIPES[name]
    if Path(name).suffix == ".json" and Path(name).exists():
        return TrainConfig.from_dict(read_json(Path(name)))
    raise ValueError(f"recipe {name!r} is neither a file config.json nor one of {', '.join(RECIPES)}")


def seed_everything(seed: int) -> np.random.Generator:
    """Seed Python, NumPy and torch, and return a NumPy generator for what takes one.

    Same seed, same machine, same result; GPUs may differ in the last digits (bilinear upsampling and cuDNN).

    Examples
    --------
    >>> seed_everything(0).integers(100) == seed_everything(0).integers(100)
    np.True_
    """
    from accelerate.utils import set_seed

    set_seed(seed)
    return np.random.default_rng(seed)
