"""A MAUNet by name, from a file or a folder."""

from pathlib import Path

import torch

from maunet_lite.network.checkpoints.files import find_checkpoint
from maunet_lite.network.maunet import MAUNet


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
    >>> from maunet_lite.network import build_model, save_model
    >>> folder = getfixture("tmp_path")
    >>> _ = save_model(build_model("lite", proxy=False), folder / "last.safetensors")
    >>> load_model(folder).config.proxy
    False
    """
    return MAUNet.load(find_checkpoint(name_or_path), device)
