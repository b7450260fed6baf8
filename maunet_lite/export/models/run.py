"""A network as ONNX, run with onnxruntime: neither torch nor MONAI is loaded, nor need be installed."""

import json
import math
from pathlib import Path

import numpy as np

from maunet_lite.postprocessing import Maps, PostprocessConfig, segment
from maunet_lite.preprocessing import normalize

KEY = "maunet"  # of what stands in a file beside the network
SMALLEST = 128  # pixels that the network sees at least, as in `inference.predict`


def onnx_segment(
    image: np.ndarray, path: str | Path, postprocess: str | PostprocessConfig = "default"
) -> np.ndarray:
    """Segment the cells of an image with a network that `export_model` wrote as ONNX.

    The cells are those of ``inference.segment(image, model, scales=(1.0,))``. The image is seen whole, so
    memory limits its size: about a gigabyte for 4 megapixels.

    Parameters
    ----------
    image : numpy.ndarray
        (H, W) or (H, W, C), of any type that `preprocessing.normalize` takes.
    path : str or Path
        The ``.onnx`` file.
    postprocess : str or PostprocessConfig
        As in `inference.segment`.

    Returns
    -------
    numpy.ndarray
        (H, W) int32: 0 background, cells 1 … N.

    Raises
    ------
    ImportError
        If onnxruntime is not installed.
    FileNotFoundError
        If there is no such file.
    ValueError
        If the file was not written by `export_model`.
    """
    try:
        from onnxruntime import InferenceSession
    except ImportError as error:
        raise ImportError('onnxruntime is needed to run ONNX: pip install -e ".[share]"') from error
    if not Path(path).is_file():
        raise FileNotFoundError(f"no file {path}: maunet-lite export-model lite --format onnx writes one")
    session = InferenceSession(str(path), providers=["CPUExecutionProvider"])
    told = session.get_modelmeta().custom_metadata_map.get(KEY)
    if told is None:
        raise ValueError(f"{path} does not say how to scale images: it was not written by export_model")
    about = json.loads(told)
    planes = np.moveaxis(normalize(image, about["intensity"]), -1, 0)
    height, width = planes.shape[1:]
    beyond = [max(SMALLEST, about["stride"] * math.ceil(n / about["stride"])) - n for n in (height, width)]
    padded = np.pad(planes, [(0, 0), (0, beyond[0]), (0, beyond[1])], mode="symmetric")
    maps = session.run(None, {"image": padded[None]})[0][0, :, :height, :width]  # (K, H, W)
    config = PostprocessConfig(**about["postprocess"]) if postprocess == "default" else postprocess
    return segment(named_maps(maps, about["channels"]), config, keep_steps=False).labels


def named_maps(maps: np.ndarray, channels: list[str]) -> Maps:
    """Return maps (K, H, W) in the order that post-processing expects; a network may lack some.

    Examples
    --------
    >>> named_maps(np.ones((3, 4, 5)), ["background", "interior", "proxy"]).probabilities.shape
    (4, 4, 5)
    """
    found = dict(zip(channels, maps, strict=True))
    boundary = found.get("boundary", np.zeros_like(maps[0]))
    proxy = [found["proxy"]] if "proxy" in found else []
    return Maps(np.stack([found["background"], found["interior"], boundary, *proxy]), found.get("distance"))
