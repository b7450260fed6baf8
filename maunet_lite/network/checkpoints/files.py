"""Files of weights: which one a name means, what stands in it, and what stands beside it.

A checkpoint is two files: weights as safetensors, the architecture in their header, and a JSON file with the
architecture and a free record of how they were made. Runs write ``x.safetensors`` and ``x.json``. A folder
that travels holds ``model.safetensors``, ``config.json`` and ``README.md``, the names of model hubs. Nothing
is ever unpickled.
"""

import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from maunet_lite.data import atomic_path, write_text
from maunet_lite.postprocessing import parse_json, read_json

logger = logging.getLogger(__name__)

WEIGHTS = Path(__file__).parents[2] / "weights"
SHARED = "model.safetensors"  # in a folder that travels
CANDIDATES = ("best.safetensors", "last.safetensors", SHARED)


class CheckpointError(ValueError):
    """A file of weights cannot be used; the message says why and what to do."""


def record_paths(weights: Path) -> list[Path]:
    """Return the JSON files that may stand beside a file of weights, the one that is written first.

    Examples
    --------
    >>> [path.name for path in record_paths(Path("mine/model.safetensors"))]
    ['config.json', 'model.json']
    """
    twin = weights.with_suffix(".json")
    return [twin.with_name("config.json"), twin] if weights.name == SHARED else [twin]


def save_model(model: Any, path: str | Path, record: Mapping | None = None, half: bool = False) -> Path:
    """Write `model` to ``x.safetensors`` and its architecture and `record`, with its settings, to ``x.json``.

    Both files appear whole or not at all, the record first. `MAUNet.save_pretrained` writes a folder that
    can be shared, with a card.

    Parameters
    ----------
    model : MAUNet
    path : str or Path
        Ends with ``.safetensors``; its folder is created if needed.
    record : mapping, optional
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
    >>> from maunet_lite.network import build_model, load_model
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
    twin, config = record_paths(path)[0], model.config.to_dict()
    record = {**(record or {}), **({"settings": model.settings} if model.settings else {})}
    content = {"config": config, "record": record}
    if path.name == SHARED:  # hubs look for an architecture on the first level
        content = {**config, "record": record}
        if twin.exists() and not _architecture(read_json(twin)):
            raise CheckpointError(f"{twin} belongs to something else, such as a run: choose another folder")
    write_text(twin, json.dumps(content, indent=2) + "\n")
    with atomic_path(path) as temporary:
        # save_file would make a file that nobody else may read
        temporary.write_bytes(save(weights, metadata={"format": "pt", "config": json.dumps(config)}))
    return path


def shipped_models() -> list[str]:
    """Return the names of the models inside the package."""
    return sorted(path.parent.name for path in WEIGHTS.glob(f"*/{SHARED}"))


def find_checkpoint(name_or_path: str | Path) -> Path:
    """Return the ``.safetensors`` file that `name_or_path` means (see `load_model`)."""
    path = Path(name_or_path)
    if isinstance(name_or_path, str) and name_or_path in shipped_models():
        return WEIGHTS / name_or_path / SHARED
    if path.is_dir():
        inside = {file.name: file for file in sorted(path.glob("*.safetensors"))}
        for candidate in (*CANDIDATES, *(inside if len(inside) == 1 else ())):
            if candidate in inside:
                return inside[candidate]
        hint = f"it holds {', '.join(inside)}: name one" if inside else "it holds no model at all"
        raise FileNotFoundError(f"folder {path} has neither {' nor '.join(CANDIDATES)}; {hint}")
    if not path.is_file():
        what = f"it is no shipped model ({', '.join(shipped_models())}), no .safetensors file and no folder"
        raise FileNotFoundError(f"no model {str(name_or_path)!r}: {what} with best.safetensors")
    if path.suffix != ".safetensors":
        cure = f"converted once with `maunet-lite convert {path} --preset paper-r50 --out FOLDER`"
        raise CheckpointError(f"{path} is not a .safetensors file. The authors' published weights are {cure}")
    return path


def read_record(name_or_path: str | Path) -> dict[str, Any]:
    """Return the ``config`` of a checkpoint and its free ``record`` ({} if the JSON file is gone)."""
    path = find_checkpoint(name_or_path)
    try:
        with safe_open(path, framework="pt") as file:
            header = (file.metadata() or {}).get("config")
        config = parse_json(header, "its header") if header else {}
    except (SafetensorError, OSError, ValueError) as error:
        raise CheckpointError(f"{path} is damaged ({error}): copy or download it again") from error
    twins = record_paths(path)
    contents = []
    for twin in filter(Path.is_file, twins):
        try:
            contents.append(read_json(twin))
        except ValueError as error:  # the weights are none the worse for it
            logger.warning("%s; how these weights were made is not known", error)
    content = next(filter(_architecture, contents), {})  # a run's config.json is no record
    config = config or _architecture(content)  # the header is one with the weights, so it decides
    if not config:
        name = twins[0].name
        raise CheckpointError(f"{path} says nothing about its architecture and {name} is not beside it")
    record = content.get("record")
    return {"config": config, "record": record if isinstance(record, dict) else {}}


def _architecture(content: Mapping[str, Any]) -> dict[str, Any]:
    """Return the architecture in a JSON file of either layout, {} if there is none."""
    config = content.get("config", content)
    known = isinstance(config, dict) and "encoder" in config
    return {key: value for key, value in config.items() if key != "record"} if known else {}
