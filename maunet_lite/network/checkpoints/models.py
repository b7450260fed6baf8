"""A MAUNet to a file and back: `save_model` writes what `load_model` reads."""

from pathlib import Path
from typing import Any

import torch

from maunet_lite.network.checkpoints.files import find_checkpoint, write_checkpoint
from maunet_lite.network.maunet import MAUNet


def save_model(
    model: MAUNet, path: str | Path, record: dict[str, Any] | None = None, half: bool = False
) -> Path:
    """Write `model` to ``x.safetensors`` and its architecture and `record`, with its settings, to ``x.json``.

    Both files appear whole or not at all, the record first. `MAUNet.save_pretrained` writes a folder that
    can be shared, with a card.

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
    >>> from maunet_lite.network import build_model, read_record
    >>> folder = getfixture("tmp_path") / "run"
    >>> path = save_model(build_model("lite"), folder / "best.safetensors", {"epoch": 3})
    >>> load_model(path).training, read_record(path)["record"]
    (False, {'epoch': 3})
    """
    return write_checkpoint(Path(path), model, record, half)


def load_model(name_or_path: str | Path, device: str | torch.device = "cpu") -> MAUNet:
    """Load a model that ships with the package, or one from a file or a folder.

    Parameters
    ----------
    name_or_path : str or Path
        A shipped name (`shipped_models`), a ``.safetensors`` file, or a folder: that of a training, with
        ``best.safetensors`` or, failing that, ``last.safetensors``, or one that was shared, with
        ``model.safetensors``.
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
    return MAUNet.load(find_checkpoint(name_or_path), device)
