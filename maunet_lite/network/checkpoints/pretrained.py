"""Networks that travel: saved as a folder, shared on a model hub, loaded again by anybody."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from maunet_lite.data import write_text
from maunet_lite.network.checkpoints import files
from maunet_lite.network.checkpoints.card import model_card
from maunet_lite.postprocessing import Options

Network = TypeVar("Network", bound="Pretrained")


class Pretrained(nn.Module):
    """Base of a network that is made as ``cls(config)`` and keeps its `config`.

    `huggingface_hub` has a mixin for this, whose names and arguments these are. It is not used: it leaves
    weights that a file lacks as they were drawn, unpickles where there is no safetensors file, and importing
    it takes longer than this package does.
    """

    config_class: ClassVar[type[Options]]
    config: Any
    settings: dict[str, Any]  # for its use, kept in the record

    @classmethod
    def from_pretrained(
        cls: type[Network], folder_or_repo: str | Path, device: str | torch.device = "cpu", **download: Any
    ) -> Network:
        """Load a network from a folder, or from a repository of the Hugging Face hub.

        Parameters
        ----------
        folder_or_repo : str or Path
            What `load_model` takes, or else the name of a repository, ``"owner/name"``: its
            ``model.safetensors`` and ``config.json`` are downloaded once and kept.
        device : str or torch.device
        **download
            Of ``huggingface_hub.snapshot_download``, such as ``revision``, ``token``, ``cache_dir`` and
            ``local_files_only``.

        Returns
        -------
        Pretrained
            In evaluation mode, weights in float32.

        Raises
        ------
        FileNotFoundError
            If nothing is there, or if the repository cannot be reached and was never downloaded.
        CheckpointError
            If the weights are damaged or do not fit their own architecture.

        Examples
        --------
        >>> from maunet_lite.network import MAUNet
        >>> folder = MAUNet.from_pretrained("lite").save_pretrained(getfixture("tmp_path") / "mine")
        >>> sorted(file.name for file in folder.iterdir())
        ['README.md', 'config.json', 'model.safetensors']
        >>> MAUNet.from_pretrained(folder).config.encoder
        'lite'
        """
        name = str(folder_or_repo)
        if Path(name).exists() or not re.fullmatch(r"[\w.-]+/[\w.-]+", name):
            return cls.load(files.find_checkpoint(folder_or_repo), device)
        from huggingface_hub import snapshot_download

        try:
            folder = snapshot_download(name, allow_patterns=[files.SHARED, "config.json"], **download)
        except OSError as error:  # of the network, of the hub, or nothing in its cache
            ask = "Is its name right, and is there a connection? To a machine without one, copy the folder"
            what = f"no folder {name} here, and no such repository on the hub ({error})"
            raise FileNotFoundError(f"{what}. {ask}") from error
        return cls.load(files.find_checkpoint(Path(folder)), device)

    @classmethod
    def load(cls: type[Network], path: Path, device: str | torch.device = "cpu") -> Network:
        """Return the network in a ``.safetensors`` file; errors as in `load_model`."""
        stored = files.read_record(path)
        config = cls.config_class.from_dict(stored["config"])
        model = cls.empty(config)
        model.settings = stored["record"].get("settings", {})
        weights = load_file(path)
        if difference := mismatch(weights, model.state_dict()):
            cause = "The file was changed by hand, or written by another version of maunet_lite"
            what = f"{path} does not fit its own architecture {config}"
            raise files.CheckpointError(f"{what}: {difference}. {cause}")
        return filled(model, weights, str(path)).to(device).eval()

    @classmethod
    def empty(cls: type[Network], config: Any) -> Network:
        """Build a network without spending time on random weights."""
        # timm's networks may have buffers that no file holds.
        with torch.device("cpu" if config.encoder.startswith("timm:") else "meta"):
            return cls(config)

    def save_pretrained(
        self, folder: str | Path, record: Mapping[str, Any] | None = None, *, half: bool = False
    ) -> Path:
        """Write a folder that `from_pretrained` reads and a model hub shows.

        ``huggingface_hub.upload_folder(repo_id="owner/name", folder_path=folder)`` shares it.

        Parameters
        ----------
        folder : str or Path
            Gets ``model.safetensors``, ``config.json`` and a card ``README.md`` (`model_card`).
        record : mapping, optional
            How the network was made, as `read_record` returns it: it is kept and told on the card.
        half : bool
            See `save_model`.

        Returns
        -------
        Path
            The folder.

        Raises
        ------
        CheckpointError
            If the folder holds a ``config.json`` that is not a network's, or as in `save_model`.
        """
        folder = Path(folder)
        path = files.save_model(self, folder / files.SHARED, record, half)
        parameters = sum(p.numel() for p in self.parameters())
        card = model_card(folder.name, parameters, files.read_record(path)["record"])
        write_text(folder / "README.md", card)
        return folder


def filled(model: Network, weights: Mapping[str, Tensor], source: str) -> Network:
    """Give a network copies of `weights` from a `source`, which fit it (see `mismatch`), in its precision."""
    if broken := next((key for key, value in weights.items() if not value.isfinite().all()), None):
        cause = f"{source} holds values in {broken} that are infinite or no numbers: its training diverged"
        cure = "Take earlier weights, download it again, or train with a lower learning rate"
        raise files.CheckpointError(f"{cause}, or it was changed. {cure}")
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
    shown = {what: [*keys[:3], f"… ({len(keys)} in all)"][: len(keys)] for what, keys in found.items()}
    return "; ".join(f"{what}: {', '.join(keys)}" for what, keys in shown.items() if keys)
