"""The authors' published checkpoints: read safely, with their key names translated, converted once.

The published code names parts after MONAI's blocks; this table is all there is to translate:

===============================  ==========================================
published                        here
===============================  ==========================================
``res.…``                        ``encoder.…``
``encoder1``, ``encoder2``, …    ``skips.0``, ``skips.1``, …, finest first
``encoder10``                    the deepest of ``skips``
``decoder5`` … ``decoder1``      ``class_decoder.blocks.0`` … ``.4``
``decoder5_2`` … ``decoder1_2``  ``distance_decoder.blocks.0`` … ``.4``
``out``, ``out_2``               ``class_head``, ``distance_head``
===============================  ==========================================
"""

import contextlib
import hashlib
import pickle
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from maunet_lite.network.checkpoints.files import CheckpointError, save_model
from maunet_lite.network.checkpoints.pretrained import filled, mismatch
from maunet_lite.network.maunet import PRESETS, MAUNet, preset_config

PAPER_PRESETS = tuple(preset for preset in PRESETS if preset.startswith("paper-"))
LAYERS = {"conv1": "conv1", "conv2": "conv2", "conv3": "shortcut.0"}  # of a residual block
SKIP = re.compile(r"encoder(\d+)\.layer\.(conv[123])\.conv\.weight")
DECODER = re.compile(r"decoder(\d)(_2)?\.(?:(transp_conv)|conv_block\.(conv[123]))\.conv\.weight")
HEAD = re.compile(r"out(_2)?\.conv\.conv\.(weight|bias)")


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
    model = MAUNet.empty(preset_config(preset, proxy=proxy, **overrides))
    state = _translated(published, model)
    if difference := mismatch(state, model.state_dict()):
        cause = _likely_cause(published, preset, n_logits=model.n_classes + model.config.proxy)
        raise CheckpointError(f"the weights do not fit {preset} ({difference}). {cause}.")
    return filled(model, state, "the authors' file").eval()


def _translated(published: Mapping[str, Tensor], model: MAUNet) -> dict[str, Tensor]:
    return {translate(key, len(model.skips) - 1): value for key, value in published.items()}


def _likely_cause(published: Mapping[str, Tensor], preset: str, n_logits: int) -> str:
    """Guess why a state dict does not fit a network with `n_logits` class channels, and say what to do."""
    for other in PAPER_PRESETS:
        model = MAUNet.empty(PRESETS[other])
        if other != preset and not mismatch(_translated(published, model), model.state_dict()):
            return f"These are the weights of {other!r}: name that preset"
    if not any(key.startswith(("encoder1.", "decoder1.")) for key in published):
        what = "There are no decoders: this looks like an encoder alone"
        return f"{what}. For ImageNet weights use build_model(preset, imagenet=True)"
    head = published.get("out.conv.conv.bias")
    if head is not None and len(head) != n_logits:
        made = {3: "trained without the proxy: pass proxy=False", 4: "trained with it: pass proxy=True"}
        other = "fine-tuned for other classes, which MAUNet does not have: train that head again"
        how = made.get(len(head), other)
        return f"The class head has {len(head)} channels, the network asked for has {n_logits}. It was {how}"
    if not any(key.startswith("out_2.") for key in published):
        return "There is no distance decoder: pass distance=False"
    whole = "the published one (380 tensors for paper-r50, 309 for paper-wr50), or download it again"
    return f"The file is incomplete, or the network in it was changed: compare it with {whole}"


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
    origin = "weights published by the paper's authors"
    record = {"source": Path(path).name, "sha256": digest, "format": origin}
    return save_model(model, Path(folder) / f"{preset}.safetensors", record, half=half)


def read_published(source: str | Path | Mapping[str, Any]) -> dict[str, Tensor]:
    """Return the state dict in the authors' file, or in what was loaded from it; no code is ever unpickled.

    Parameters
    ----------
    source : str, Path or mapping
        A file written by ``torch.save``, what it holds (``{"model_state_dict": …}``), or the bare state dict.
        A leading ``module.`` of the keys, left by training on several GPUs, is taken off.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    CheckpointError
        If it is no torch file, if it needs code to be loaded, or if it holds no tensors.
    """
    content = source if isinstance(source, Mapping) else _load(Path(source))
    for name in ("model_state_dict", "state_dict"):
        content = content.get(name, content)
    state = {str(key).removeprefix("module."): value for key, value in content.items()}
    others = [f"{k!r} is a {type(v).__name__}" for k, v in state.items() if not isinstance(v, Tensor)]
    if not state or others:
        what = others[0] if others else "got an empty dictionary"
        raise CheckpointError(f"expected a dictionary of tensors, or one under 'model_state_dict'; {what}")
    return state


def _load(path: Path) -> Mapping[str, Any]:
    if not path.is_file():
        raise FileNotFoundError(f"no file {path}: download the authors' weights, their README says whence")
    with path.open("rb") as file:
        start = file.read(16)
    if start and not start.startswith((b"PK\x03\x04", b"\x80")):
        cause = "a download may have brought a page or a pointer in its place; download it again"
        raise CheckpointError(f"{path} is no file of torch.save (it begins with {start!r}): {cause}")
    try:
        with _numpy_scalars_allowed():
            content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        if "weights_only" not in str(error) and "Unsupported" not in str(error):
            raise CheckpointError(f"{path} cannot be read by torch ({error}): download it again") from error
        raise CheckpointError(
            f"{path} holds more than tensors and numbers, and loading the rest would run code from it. That "
            f"is refused ({str(error).splitlines()[0]}). If you trust its source, keep the weights alone:\n"
            "torch.save(torch.load(FILE, weights_only=False)['model_state_dict'], NEW_FILE)\nand use NEW_FILE"
        ) from error
    except Exception as error:  # torch raises whatever it likes on damaged files
        raise CheckpointError(f"{path} is no file of torch.save, or is cut short ({error})") from error
    if not isinstance(content, Mapping):
        raise CheckpointError(f"{path} holds a {type(content).__name__}; expected a dictionary of tensors")
    return content


def _numpy_scalars_allowed() -> contextlib.AbstractContextManager:
    # A training loop easily saves its loss as a numpy number, which torch refuses though it is no code.
    if not hasattr(torch.serialization, "safe_globals"):
        return contextlib.nullcontext()
    scalar = np.float64(0).__reduce__()[0]
    kinds = [type(np.dtype(kind)) for kind in (np.float16, np.float32, np.float64, np.int32, np.int64)]
    allowed = [(scalar, "numpy.core.multiarray.scalar"), scalar, np.dtype, *kinds]
    return torch.serialization.safe_globals(allowed)


def translate(key: str, deepest: int) -> str:
    """Return the name here of a published `key`; `deepest` is the index of the last skip connection.

    Keys that are not the published network's come back unchanged.

    Examples
    --------
    >>> translate("decoder5_2.transp_conv.conv.weight", deepest=5)
    'distance_decoder.blocks.0.up.weight'
    >>> translate("encoder10.layer.conv3.conv.weight", deepest=5)
    'skips.5.shortcut.0.weight'
    """
    if key.startswith("res."):
        return "encoder." + key.removeprefix("res.")
    if match := SKIP.fullmatch(key):
        index = deepest if match[1] == "10" else int(match[1]) - 1
        return f"skips.{index}.{LAYERS[match[2]]}.weight"
    if match := DECODER.fullmatch(key):
        block = f"{'distance' if match[2] else 'class'}_decoder.blocks.{deepest - int(match[1])}"
        return f"{block}.up.weight" if match[3] else f"{block}.block.{LAYERS[match[4]]}.weight"
    if match := HEAD.fullmatch(key):
        return f"{'distance' if match[1] else 'class'}_head.conv.{match[2]}"
    return key
