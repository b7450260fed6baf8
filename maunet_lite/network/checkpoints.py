"""Weights in and out: safetensors files with a JSON record beside them, and the models of the package.

A checkpoint is two files with one stem: ``x.safetensors`` (weights, and the architecture in its header) and
``x.json`` (architecture and a free record of how it was made, for people and tables). Nothing is ever
unpickled.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from maunet_lite.data import atomic_path
from maunet_lite.network.authors import CheckpointError, likely_cause, mismatch, read_published, translate
from maunet_lite.network.maunet import PRESETS, MAUNet, ModelConfig, preset_config

__all__ = [
    "CheckpointError",
    "convert_authors",
    "find_checkpoint",
    "import_authors",
    "load_model",
    "read_record",
    "save_model",
    "shipped_models",
]

WEIGHTS = Path(__file__).parents[1] / "weights"
PAPER_PRESETS = tuple(preset for preset in PRESETS if preset.startswith("paper-"))
CANDIDATES = ("best.safetensors", "last.safetensors")


def save_model(
    model: MAUNet, path: str | Path, record: dict[str, Any] | None = None, half: bool = False
) -> Path:
    """Write `model` to ``x.safetensors`` and its architecture and `record` to ``x.json``.

    Both files appear whole or not at all, the record first.

    Parameters
    ----------
    model : MAUNet
    path : str or Path
        Ends with ``.safetensors``; its folder is created if needed.
    record : dict, optional
        Anything JSON can hold: how the model was trained, what it scored.
    half : bool
        Store weights as float16: half the size, and differences below 1e-3 in the output.

    Returns
    -------
    Path
        The written ``.safetensors`` file.

    Raises
    ------
    CheckpointError
        If the suffix is another one, or if a weight does not fit into float16.

    Examples
    --------
    >>> from maunet_lite.network import build_model
    >>> folder = getfixture("tmp_path") / "run"
    >>> path = save_model(build_model("lite"), folder / "best.safetensors", {"epoch": 3})
    >>> load_model(path).training, read_record(path)["record"]
    (False, {'epoch': 3})
    """
    path = Path(path)
    if path.suffix != ".safetensors":
        raise CheckpointError(f"a model is saved to a file that ends with .safetensors, got {str(path)!r}")
    weights = {key: _stored(key, value, half) for key, value in model.state_dict().items()}
    config = asdict(model.config)
    text = json.dumps({"config": config, "record": record or {}}, indent=2)
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(path.with_suffix(".json")) as temporary:
        temporary.write_text(text + "\n", encoding="utf-8")
    with atomic_path(path) as temporary:
        # save_file would make a file that nobody else may read
        temporary.write_bytes(save(weights, metadata={"config": json.dumps(config)}))
    return path


def _stored(key: str, value: torch.Tensor, half: bool) -> torch.Tensor:
    value = value.detach().cpu().contiguous()
    if not (half and value.is_floating_point()):
        return value
    small = value.half()
    if not small.isfinite().all():
        raise CheckpointError(f"{key} holds values that do not fit into float16: save with half=False")
    return small


def load_model(name_or_path: str | Path, device: str | torch.device = "cpu") -> MAUNet:
    """Load a model that ships with the package, or one from a file or a training folder.

    Parameters
    ----------
    name_or_path : str or Path
        A shipped name (`shipped_models`), a ``.safetensors`` file, or a folder that holds
        ``best.safetensors`` or, failing that, ``last.safetensors``.
    device : str or torch.device

    Returns
    -------
    MAUNet
        In evaluation mode, weights in float32.

    Raises
    ------
    FileNotFoundError
        If nothing is there; the message lists what exists.
    CheckpointError
        If the file is damaged or does not fit its own architecture.

    Examples
    --------
    >>> from maunet_lite.network import build_model
    >>> folder = getfixture("tmp_path")
    >>> _ = save_model(build_model("lite", proxy=False), folder / "last.safetensors")
    >>> load_model(folder).config.proxy
    False
    """
    path = find_checkpoint(name_or_path)
    config = ModelConfig(**read_record(path)["config"])
    with safe_open(path, framework="pt") as file:
        weights = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 - not a mapping
    model = _empty(config)
    if difference := mismatch(weights, model.state_dict()):
        raise CheckpointError(
            f"{path} does not fit its own architecture {config}: {difference}. The file "
            "was changed by hand, or written by another version of maunet_lite"
        )
    return _filled(model, weights).to(device).eval()


def _empty(config: ModelConfig) -> MAUNet:
    """Build a network without spending time on random weights."""
    # timm's networks may have buffers that no file holds.
    with torch.device("cpu" if config.encoder.startswith("timm:") else "meta"):
        return MAUNet(config)


def _filled(model: MAUNet, weights: Mapping[str, torch.Tensor]) -> MAUNet:
    own = {key: weights[key].to(value.dtype, copy=True) for key, value in model.state_dict().items()}
    model.load_state_dict(own, assign=True)
    return model


def shipped_models() -> list[str]:
    """Return the names of the models inside the package."""
    return sorted(path.stem for path in WEIGHTS.glob("*.safetensors"))


def find_checkpoint(name_or_path: str | Path) -> Path:
    """Return the ``.safetensors`` file that `name_or_path` means (see `load_model`)."""
    path = Path(name_or_path)
    if isinstance(name_or_path, str) and name_or_path in shipped_models():
        return WEIGHTS / f"{name_or_path}.safetensors"
    if path.is_dir():
        for candidate in CANDIDATES:
            if (path / candidate).is_file():
                return path / candidate
        others = sorted(path.glob("*.safetensors"))
        if len(others) == 1:
            return others[0]
        hint = (
            f"it holds {', '.join(o.name for o in others)}: name one"
            if others
            else "it holds no model at all"
        )
        raise FileNotFoundError(f"folder {path} has neither {' nor '.join(CANDIDATES)}; {hint}")
    if not path.is_file():
        raise FileNotFoundError(
            f"no model {str(name_or_path)!r}: it is neither a shipped model "
            f"({', '.join(shipped_models()) or 'there is none'}) nor a "
            ".safetensors file nor a folder with best.safetensors"
        )
    if path.suffix != ".safetensors":
        raise CheckpointError(
            f"{path} is not a .safetensors file. The authors' published weights are converted once with "
            f"`maunet-lite convert {path} --preset paper-r50 --out FOLDER`"
        )
    return path


def read_record(name_or_path: str | Path) -> dict[str, Any]:
    """Return the ``config`` of a checkpoint and its free ``record`` ({} if the JSON file is gone)."""
    path = find_checkpoint(name_or_path)
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"{path} is damaged ({error}): copy or download it again") from error
    beside = path.with_suffix(".json")
    record = json.loads(beside.read_text(encoding="utf-8")) if beside.is_file() else {"record": {}}
    if "config" in metadata:  # the header cannot be separated from the weights, so it decides
        record["config"] = json.loads(metadata["config"])
    if "config" not in record:
        raise CheckpointError(
            f"{path} says nothing about its architecture and {beside.name} is not beside it"
        )
    return record


def import_authors(
    path_or_state_dict: str | Path | Mapping[str, Any], preset: str, proxy: bool = True, **overrides: object
) -> MAUNet:
    """Build `preset` with the weights that the paper's authors published, or others in their format.

    Their repository has no licence, so this kit cannot ship them: download the file yourself, and convert it
    once (`convert_authors`, or ``maunet-lite convert``).

    Parameters
    ----------
    path_or_state_dict : str, Path or mapping
        The authors' file, what ``torch.load`` returns for it, or the state dict inside.
    preset : {"paper-r50", "paper-wr50"}
        The network the weights are for.
    proxy, **overrides
        As in `build_model`, for weights of an ablation: ``proxy=False``, ``distance=False``.

    Returns
    -------
    MAUNet
        In evaluation mode.

    Raises
    ------
    CheckpointError
        If the file is no torch file or would run code, if any key or shape differs from the preset's, or if a
        weight is not finite. The message names keys, the likely cause and what to do.
    """
    if preset not in PAPER_PRESETS:
        raise CheckpointError(f"the authors published no {preset!r}, only {' and '.join(PAPER_PRESETS)}")
    published = read_published(path_or_state_dict)
    model = _empty(preset_config(preset, proxy=proxy, **overrides))
    state = {translate(key, len(model.skips) - 1): value for key, value in published.items()}
    if difference := mismatch(state, model.state_dict()):
        fitting = [other for other in PAPER_PRESETS if other != preset and _fits(published, other)]
        cause = likely_cause(published, fitting, n_logits=model.n_classes + model.config.proxy)
        raise CheckpointError(
            f"the weights do not fit {preset}. {difference[0].upper()}{difference[1:]}. {cause}."
        )
    broken = [key for key, value in published.items() if not value.isfinite().all()]
    if broken:
        raise CheckpointError(f"{broken[0]} and {len(broken) - 1} more weights : not a number or infinite")
    return _filled(model, state).eval()


def _fits(published: Mapping[str, torch.Tensor], preset: str) -> bool:
    model = _empty(PRESETS[preset])
    translated = {translate(key, len(model.skips) - 1): value for key, value in published.items()}
    return not mismatch(translated, model.state_dict())


def convert_authors(path: str | Path, preset: str, folder: str | Path, half: bool = False) -> Path:
    """Import the authors' file and save it as ``folder/PRESET.safetensors``; name and SHA-256 go on record.

    Parameters
    ----------
    path : str or Path
    preset : {"paper-r50", "paper-wr50"}
    folder : str or Path
        Created if need be; `load_model` takes it from there.
    half : bool
        See `save_model`.

    Returns
    -------
    Path
        The written file.
    """
    model = import_authors(path, preset)
    digest = hashlib.sha256(Path(path).read_bytes()).hexdigest()
    record = {
        "source": Path(path).name,
        "sha256": digest,
        "format": "weights published by the paper's authors",
    }
    return save_model(model, Path(folder) / f"{preset}.safetensors", record, half=half)
