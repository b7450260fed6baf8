"""One call for all formats: `export_model` writes a network, loads it again, and compares."""

from pathlib import Path

import numpy as np

from maunet_lite.data import atomic_path
from maunet_lite.export.models.writers import ExportedMaps, torch_run, write_maps
from maunet_lite.export.models.zoo import write_package
from maunet_lite.network import MAUNet, load_model, read_record

MODEL_FORMATS = {  # how the file ends; of the hub it is a folder
    "onnx": ".onnx", "torchscript": ".pt", "pt2": ".pt2", "huggingface": "",
    "bioimageio": "_maps.zip", "bioimageio-labels": "_labels.zip",
}  # fmt: skip


def export_model(name_or_path: str | Path, kind: str, out: str | Path) -> tuple[Path, float]:
    """Write a network in another format, load it with that format's library, and compare the two.

    Parameters
    ----------
    name_or_path : str or Path
        What `load_model` takes.
    kind : str
        ``"onnx"``, ``"torchscript"`` or ``"pt2"``: one file, for images of any size that is a multiple of the
        stride, returning maps (`ExportedMaps`). ``"huggingface"``: a folder for the hub
        (`MAUNet.save_pretrained`). ``"bioimageio"``: a package for the BioImage Model Zoo that returns maps;
        ``"bioimageio-labels"``: one that returns cells.
    out : str or Path
        The folder to write to.

    Returns
    -------
    Path
        What was written.
    float
        The largest difference between its maps and the network's on an image of noise. A package for the zoo
        has passed ``bioimageio test`` besides; what returns labels is compared by that alone.

    Raises
    ------
    ValueError
        If there is no such format.
    ImportError
        If a package of the extra ``[share]`` is missing.

    Examples
    --------
    >>> path, difference = export_model("lite", "huggingface", getfixture("tmp_path") / "mine")
    >>> path.name, difference
    ('mine', 0.0)
    """
    if kind not in MODEL_FORMATS:
        raise ValueError(f"model format {kind!r} is not known; choose one of {', '.join(MODEL_FORMATS)}")
    maps, record = ExportedMaps(load_model(name_or_path)).eval(), read_record(name_or_path)["record"]
    name, suffix = Path(name_or_path).stem, MODEL_FORMATS[kind]
    path = Path(out) / f"{name}{suffix}" if suffix else Path(out)
    try:
        if kind == "huggingface":
            run = torch_run(ExportedMaps(MAUNet.from_pretrained(maps.network.save_pretrained(path, record))))
        else:
            with atomic_path(path) as temporary:
                if kind.startswith("bioimageio"):
                    run = write_package(maps, temporary, name, record, labels=kind.endswith("labels"))
                else:
                    run = write_maps(maps, kind, temporary)
    except ImportError as error:
        raise ImportError(f'{kind} needs {error.name}: pip install -e ".[share]"') from error
    stride = maps.network.stride
    image = np.random.default_rng(0).uniform(0.01, 0.99, (1, 3, 3 * stride, 4 * stride)).astype(np.float32)
    return path, float(np.abs(run(image) - torch_run(maps)(image)).max())
