"""The authors' published checkpoints: their key names, and what is wrong with a file that does not fit.

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

from __future__ import annotations

import contextlib
import pickle
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

LAYERS = {"conv1": "conv1", "conv2": "conv2", "conv3": "shortcut.0"}  # of a residual block
SKIP = re.compile(r"encoder(\d+)\.layer\.(conv[123])\.conv\.weight")
DECODER = re.compile(r"decoder(\d)(_2)?\.(?:(transp_conv)|conv_block\.(conv[123]))\.conv\.weight")
HEAD = re.compile(r"out(_2)?\.conv\.conv\.(weight|bias)")


class CheckpointError(ValueError):
    """A file of weights cannot be used; the message says why and what to do."""


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
    others = [key for key, value in state.items() if not isinstance(value, Tensor)]
    if not state or others:
        raise CheckpointError(
            "expected a dictionary of tensors, or one under 'model_state_dict'; "
            + (
                f"{others[0]!r} is a {type(state[others[0]]).__name__}"
                if others
                else "got an empty dictionary"
            )
        )
    return state


def _load(path: Path) -> Mapping[str, Any]:
    if not path.is_file():
        raise FileNotFoundError(
            f"no file {path}: download the authors' weights from the page that their README links"
        )
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
    except (RuntimeError, EOFError, OSError, ValueError) as error:
        raise CheckpointError(
            f"{path} is no file that torch.save wrote, or is cut short ({error})"
        ) from error
    if not isinstance(content, Mapping):
        raise CheckpointError(f"{path} holds a {type(content).__name__}; expected a dictionary of tensors")
    return content


def _numpy_scalars_allowed() -> contextlib.AbstractContextManager:
    # A training loop easily saves its loss as a numpy number, which torch refuses though it is no code.
    if not hasattr(torch.serialization, "safe_globals"):
        return contextlib.nullcontext()
    scalar = np.float64(0).__reduce__()[0]
    kinds = [type(np.dtype(kind)) for kind in (np.float16, np.float32, np.float64, np.int32, np.int64)]
    return torch.serialization.safe_globals(
        [(scalar, "numpy.core.multiarray.scalar"), scalar, np.dtype, *kinds]
    )


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


def mismatch(state: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> str:
    """Say in which keys and shapes translated weights differ from the `wanted` ones; "" if in none.

    Examples
    --------
    >>> mismatch({"a": torch.zeros(2)}, {"a": torch.zeros(3), "b": torch.zeros(1)})
    'missing: b; of another shape: a (2,), expected (3,)'
    """
    parts = {
        "missing": [key for key in wanted if key not in state],
        "not known": [key for key in state if key not in wanted],
        "of another shape": [
            f"{key} {tuple(state[key].shape)}, expected {tuple(value.shape)}"
            for key, value in wanted.items()
            if key in state and state[key].shape != value.shape
        ],
    }
    return "; ".join(f"{what}: {_few(keys)}" for what, keys in parts.items() if keys)


def _few(keys: list[str]) -> str:
    more = f", … ({len(keys)} in all)" if len(keys) > 3 else ""
    return ", ".join(keys[:3]) + more


def likely_cause(published: Mapping[str, Tensor], fitting: list[str], n_logits: int) -> str:
    """Guess why a published state dict does not fit, and say what to do.

    Parameters
    ----------
    published : mapping
        With the published names.
    fitting : list of str
        Presets that the weights do fit.
    n_logits : int
        Class channels, proxy included, that the wanted network has.
    """
    if fitting:
        return f"These are the weights of {fitting[0]!r}: name that preset"
    if not any(key.startswith(("encoder1.", "decoder1.")) for key in published):
        return (
            "There are no decoders: this looks like an encoder alone. For ImageNet weights use "
            "build_model(preset, imagenet=True)"
        )
    head = published.get("out.conv.conv.bias")
    if head is not None and len(head) != n_logits:
        return f"The class head has {len(head)} channels, the network asked for has {n_logits}. " + {
            3: "It was trained without the proxy: pass proxy=False",
            4: "It was trained with the proxy: pass proxy=True",
        }.get(
            len(head),
            "It was fine-tuned for other classes, which MAUNet does not have: train that head again",
        )
    if not any(key.startswith("out_2.") for key in published):
        return "There is no distance decoder: pass distance=False"
    return (
        "The file is incomplete, or the network in it was changed: compare it with the published one "
        "(380 tensors for paper-r50, 309 for paper-wr50), or download it again"
    )
