"""Weights in and out: safetensors files with a JSON record beside them, and the models of the package.

A checkpoint is two files with one stem: ``x.safetensors`` (weights, and the architecture in its header) and
``x.json`` (architecture and a free record of how it was made, for people and tables). Nothing is ever
unpickled.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save
from torch import Tensor

from maunet_lite.data import atomic_path
from maunet_lite.network.maunet import MAUNet, ModelConfig

WEIGHTS = Path(__file__).parents[2] / "weights"
CANDIDATES = ("best.safetensors", "last.safetensors")


class CheckpointError(ValueError):
    """A file of weights cannot be used; the message says why and what to do."""


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
    weights = {key: value.detach().cpu().contiguous() for key, value in model.state_dict().items()}
    if half:
        weights = {k: v.half() if v.is_floating_point() else v for k, v in weights.items()}
        if broken := [key for key, value in weights.items() if not value.isfinite().all()]:
            raise CheckpointError(f"{broken[0]} holds values that do not fit float16: save with half=False")
    config = model.config.to_dict()
    text = json.dumps({"config": config, "record": record or {}}, indent=2)
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(path.with_suffix(".json")) as temporary:
        temporary.write_text(text + "\n", encoding="utf-8")
    with atomic_path(path) as temporary:
        # save_file would make a file that nobody else may read
        temporary.write_bytes(save(weights, metadata={"config": json.dumps(config)}))
    return path


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
    weights = load_file(path)
    model = empty_model(config)
    if difference := mismatch(weights, model.state_dict()):
        raise CheckpointError(
            f"{path} does not fit its own architecture {config}: {difference}. The file "
            "was changed by hand, or written by another version of maunet_lite"
        )
    return filled(model, weights).to(device).eval()


def empty_model(config: ModelConfig) -> MAUNet:
    """Build a network without spending time on random weights."""
    # timm's networks may have buffers that no file holds.
    with torch.device("cpu" if config.encoder.startswith("timm:") else "meta"):
        return MAUNet(config)


def filled(model: MAUNet, weights: Mapping[str, Tensor]) -> MAUNet:
    """Give a network copies of `weights`, which fit it (see `mismatch`), in its own precision."""
    own = {key: weights[key].to(value.dtype, copy=True) for key, value in model.state_dict().items()}
    model.load_state_dict(own, assign=True)
    return model


def mismatch(state: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> str:
    """Say in which keys and shapes weights differ from the `wanted` ones; "" if in none.

    Examples
    --------
    >>> mismatch({"a": torch.zeros(2)}, {"a": torch.zeros(3), "b": torch.zeros(1)})
    'missing: b; of another shape: a (2,), expected (3,)'
    """
    shapes = {key: (tuple(state[key].shape), tuple(wanted[key].shape)) for key in wanted if key in state}
    found = {
        "missing": [key for key in wanted if key not in state],
        "not known": [key for key in state if key not in wanted],
        "of another shape": [f"{key} {a}, expected {b}" for key, (a, b) in shapes.items() if a != b],
    }
    shown = {
        what: ", ".join([*keys[:3], f"… ({len(keys)} in all)"][: len(keys)]) for what, keys in found.items()
    }
    return "; ".join(f"{what}: {keys}" for what, keys in shown.items() if keys)


def shipped_models() -> list[str]:
    """Return the names of the models inside the package."""
    return sorted(path.parent.name for path in WEIGHTS.glob("*/model.safetensors"))


def find_checkpoint(name_or_path: str | Path) -> Path:
    """Return the ``.safetensors`` file that `name_or_path` means (see `load_model`)."""
    path = Path(name_or_path)
    if isinstance(name_or_path, str) and name_or_path in shipped_models():
        return WEIGHTS / name_or_path / "model.safetensors"
    if path.is_dir():
        inside = {file.name: file for file in sorted(path.glob("*.safetensors"))}
        for candidate in (*CANDIDATES, *(inside if len(inside) == 1 else ())):
            if candidate in inside:
                return inside[candidate]
        hint = f"it holds {', '.join(inside)}: name one" if inside else "it holds no model at all"
        raise FileNotFoundError(f"folder {path} has neither {' nor '.join(CANDIDATES)}; {hint}")
    if not path.is_file():
        raise FileNotFoundError(
            f"no model {str(name_or_path)!r}: it is no shipped model ({', '.join(shipped_models())}), no "
            ".safetensors file and no folder with best.safetensors"
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
    twin = path.with_name("config.json") if path.name == "model.safetensors" else path.with_suffix(".json")
    record = json.loads(twin.read_text(encoding="utf-8")) if twin.is_file() else {"record": {}}
    if "config" in metadata:  # the header cannot be separated from the weights, so it decides
        record["config"] = json.loads(metadata["config"])
    if "config" not in record:
        raise CheckpointError(f"{path} says nothing about its architecture and {twin.name} is not beside it")
    return record
