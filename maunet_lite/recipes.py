"""Training recipes: everything a run depends on, in one readable record (paper Tables 2 and 3).

A recipe is a `TrainConfig`; `RECIPES` names the ones that come with the kit. A run writes its configuration
to ``config.json``, from which it can be repeated.
"""

from __future__ import annotations

import math
import os
import types
from dataclasses import asdict, dataclass, field, fields, replace
from functools import lru_cache
from numbers import Integral, Real
from pathlib import Path
from typing import Any, Union, get_args, get_origin, get_type_hints

from maunet_lite.augmentation import AugmentationConfig
from maunet_lite.patches import TargetConfig

BUDGETS = ("steps", "epochs", "minutes")
HEADS = ("proxy", "distance", "boundary")


@dataclass(frozen=True)
class TrainConfig:
    """What to train, on what, how, and for how long.

    Data
        data : dataset name or folder; out : folder of the run; labelled_fraction : share of the labelled
        training images to use (with ``method="cr"`` the rest is used without labels); unlabelled : a further
        folder of images without labels (``"cr"`` only); leave_out : modalities or sources that are not
        trained on, to see how a network does on what it never saw; balance : see `patches.source_weights`.
    Network
        model : preset of `model.PRESETS`; network : further fields of `model.ModelConfig` to change, for
        example ``{"encoder": "resnet18"}``; proxy, distance, boundary : its heads; imagenet : pretrained
        encoder; start_from : weights to fine-tune (name or path), instead of a new network: theirs is the
        architecture, and fields that ask for another one are refused.
    Method
        method : ``"supervised"``, ``"cr"`` or ``"cr*"`` (see `consistency`); consistency_weight : λ of
        equation 4.
    Images
        augmentation : the paper's random changes (`augmentation`); wild : instead of them those of `wild`,
        for images that nobody has seen yet, with the probabilities that differ from the usual ones (``{}``:
        none does); the patch is that of `augmentation`.
    Budget (the first that is reached ends the run)
        steps : optimiser steps; epochs : passes over the training images; minutes : wall-clock time,
        validation included.
    Optimisation
        batch_size; learning_rate; schedule : ``"cosine"`` or ``"step"`` (paper); warmup : steps;
        weight_decay; clip_norm : gradients are shortened to this norm; seed.
    Watching (in steps; 0 means never)
        validate_every, save_every, log_every; validation_images : at most so many are scored, at least one.
    Machine
        device : ``"auto"``, ``"cpu"`` or ``"cuda"``; workers : loader processes, None chooses;
        precision : ``"float32"``, ``"bfloat16"`` (mixed: weights stay float32), or ``"auto"``: bfloat16 on
        GPUs that compute in it, float32 elsewhere. Some CPUs (AVX-512 BF16, AMX) train much faster in
        bfloat16, others emulate it slowly: measure with ``python -m benchmarks.training``; compile : let
        ``torch.compile`` make kernels for the training step, which takes a minute or two at the start (and,
        on a CPU, a C++ compiler).
    """

    data: str = "simulated"
    out: str = "runs/latest"
    labelled_fraction: float = 1.0
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
    method: str = "supervised"
    consistency_weight: float = 1.5
    steps: int | None = None
    epochs: float | None = None
    minutes: float | None = None
    batch_size: int = 8
    learning_rate: float = 2e-3
    schedule: str = "cosine"
    warmup: int = 100
    weight_decay: float = 0.01
    clip_norm: float = 10.0
    seed: int = 0
    validate_every: int = 500
    save_every: int = 100
    log_every: int = 20
    validation_images: int = 100
    device: str = "auto"
    workers: int | None = None
    precision: str = "auto"
    compile: bool = False
    augmentation: AugmentationConfig = field(default_factory=AugmentationConfig)
    wild: dict[str, float] | None = None
    targets: TargetConfig = field(default_factory=TargetConfig)

    def __post_init__(self) -> None:
        """Refuse what cannot be meant."""
        if isinstance(self.leave_out, str):  # one name, as typed on the command line
            object.__setattr__(self, "leave_out", (self.leave_out,))
        _check_types({f.name: getattr(self, f.name) for f in fields(self)}, type(self))
        choices = {
            "method": ("supervised", "cr", "cr*"),
            "schedule": ("cosine", "step"),
            "device": ("auto", "cpu", "cuda", "mps"),
            "precision": ("auto", "float32", "bfloat16"),
        }
        for name, allowed in choices.items():
            if getattr(self, name) not in allowed:
                raise ValueError(
                    f"{name}={getattr(self, name)!r} is not known; choose one of {', '.join(allowed)}"
                )
        for name in (*BUDGETS, "batch_size", "learning_rate", "clip_norm", "validation_images"):
            value = getattr(self, name)
            if value is not None and not (math.isfinite(value) and value > 0):
                raise ValueError(f"{name}={value!r} must be a positive number")
        for name in ("workers", "validate_every", "save_every", "log_every", "warmup", "seed", "weight_decay",
                     "consistency_weight"):  # fmt: skip
            value = getattr(self, name)
            if value is not None and not (math.isfinite(value) and value >= 0):
                raise ValueError(f"{name}={value!r} must not be negative")
        if heads := [name for name in HEADS if name in self.network]:
            raise ValueError(f"network holds {heads[0]!r}, which is a field of its own: set {heads[0]}")
        if not 0 < self.labelled_fraction <= 1:
            raise ValueError(f"labelled_fraction={self.labelled_fraction!r} must lie in (0, 1]")
        if self.method != "supervised" and self.labelled_fraction == 1 and not self.unlabelled:
            raise ValueError(
                f"method={self.method!r} needs images without labels: "
                "give a labelled_fraction below 1 or an unlabelled folder"
            )

    @property
    def n_classes(self) -> int:
        """Number of target classes."""
        return 3 if self.boundary else 2

    def total_steps(self, epoch_length: float) -> int | None:
        """Return the budget in steps, or None if only time limits it; an epoch has `epoch_length` steps."""
        limits = [self.steps] if self.steps else []
        if self.epochs:
            limits.append(max(1, round(self.epochs * epoch_length)))
        if not limits and not self.minutes:
            raise ValueError("the run has no budget: give steps, epochs or minutes")
        return min(limits) if limits else None

    def resolved_workers(self) -> int:
        """Return the number of loader processes: none without a GPU, where they would take cores away."""
        if self.workers is not None:
            return self.workers
        import torch

        return (
            min(12, max(0, (os.cpu_count() or 1) - 2))
            if torch.cuda.is_available() and self.device != "cpu"
            else 0
        )

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-ready record."""
        return asdict(self)

    @classmethod
    def from_dict(cls, record: dict[str, Any]) -> TrainConfig:
        """Build a configuration from `to_dict`'s record; unknown names are refused."""
        record = dict(record)
        for name, kind in (("augmentation", AugmentationConfig), ("targets", TargetConfig)):
            part = dict(record.pop(name, {}))
            _refuse_unknown(part, kind, f"{name}.")
            _check_types(part, kind)
            if "zoom" in part:
                part["zoom"] = tuple(part["zoom"])
            record[name] = kind(**part)
        if isinstance(record.get("leave_out"), list):
            record["leave_out"] = tuple(record["leave_out"])
        _refuse_unknown(record, cls, "")
        return cls(**record)

    def override(self, **changes: Any) -> TrainConfig:
        """Return a copy with fields changed; names such as ``patch`` reach into `augmentation` and `targets`.

        A budget (steps, epochs or minutes) replaces the budgets that were there before.

        Examples
        --------
        >>> TrainConfig(steps=10).override(patch=64, minutes=1.0).augmentation.patch
        64
        >>> TrainConfig(minutes=15).override(steps=10).minutes is None
        True
        """
        record = self.to_dict()
        if any(changes.get(name) is not None for name in BUDGETS):
            record |= dict.fromkeys(BUDGETS)
        for name, value in changes.items():
            for part in (record, record["augmentation"], record["targets"]):
                if name in part:
                    part[name] = value
                    break
            else:
                _refuse_unknown({name: value}, type(self), "")
        return self.from_dict(record)


def _check_types(record: dict[str, Any], kind: type) -> None:
    """Refuse values that are not of the type of their field in `kind`."""
    hints = _hints(kind)
    for name, value in record.items():
        if not _fits(value, hints[name]):
            raise ValueError(f"{name}={value!r} must be {_in_words(hints[name])}")


@lru_cache
def _hints(kind: type) -> dict[str, Any]:
    return get_type_hints(kind)


def _fits(value: Any, hint: Any) -> bool:
    """Tell whether a value is of a type; whole numbers pass for numbers, lists for tuples."""
    origin, parts = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        return any(_fits(value, part) for part in parts)
    if origin is tuple:
        if not isinstance(value, (tuple, list)):
            return False
        if parts[-1] is Ellipsis:
            return all(_fits(item, parts[0]) for item in value)
        return len(value) == len(parts) and all(map(_fits, value, parts))
    if hint in (int, float):
        return isinstance(value, {int: Integral, float: Real}[hint]) and not isinstance(value, bool)
    return isinstance(value, origin or hint)


def _in_words(hint: Any) -> str:
    if get_origin(hint) in (Union, types.UnionType):
        return " or ".join(_in_words(part) for part in get_args(hint))
    words = {
        str: "a text", int: "a whole number", float: "a number", bool: "true or false",
        types.NoneType: "none", dict: "names with values, such as {'encoder': 'resnet18'}",
        tuple[float, float]: "two numbers, such as [0.5, 2]", tuple[str, ...]: "a list of names",
    }  # fmt: skip
    return words.get(hint) or words.get(get_origin(hint)) or f"a {hint.__name__}"


def _refuse_unknown(record: dict[str, Any], kind: type, prefix: str) -> None:
    known = [f.name for f in fields(kind)]
    for name in record:
        if name not in known:
            raise ValueError(f"training option {prefix}{name!r} is not known; there are: {', '.join(known)}")


_PAPER = TrainConfig(
    data="neurips22",
    model="paper-r50",
    imagenet=True,
    epochs=1000,
    batch_size=16,
    learning_rate=6e-4,
    schedule="step",
    warmup=0,
    balance=1.0,
    validate_every=1000,
    augmentation=AugmentationConfig(patch=512, zoom=(0.25, 2.0)),
)

RECIPES: dict[str, TrainConfig] = {
    # Two CPU cores, minutes to hours; the shipped weights were made so. Small patches, seldom much enlarged:
    # a CPU's time goes into cells, not into pixels.
    "lite": TrainConfig(
        minutes=15,  # unless another budget is given
        augmentation=AugmentationConfig(
            patch=256, zoom=(0.5, 2.0), zoom_spacing="log", p_resize=0.5, around_cell=0.5, padding="black"
        ),
    ),
    # Paper Table 2.
    "paper-supervised": _PAPER,
    # Paper Table 3: 8 labelled and 8 unlabelled images per batch.
    "paper-semi": replace(
        _PAPER, method="cr", epochs=700, unlabelled="neurips22-unlabelled", consistency_weight=1.5
    ),
    "paper-r50": _PAPER,
    "paper-wr50": replace(_PAPER, model="paper-wr50"),
}


def recipe(name: str) -> TrainConfig:
    """Return the recipe called `name`, or the one in a ``config.json`` of an earlier run."""
    if name in RECIPES:
        return RECIPES[name]
    if Path(name).suffix == ".json" and Path(name).exists():
        import json

        return TrainConfig.from_dict(json.loads(Path(name).read_text()))
    raise ValueError(f"recipe {name!r} is neither a file config.json nor one of {', '.join(RECIPES)}")
