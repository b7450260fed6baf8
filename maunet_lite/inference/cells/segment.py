"""From an image to its cells: at which size the network sees it, its maps, and the label map."""

import math
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from maunet_lite.data import read_image, validate_pixel_size
from maunet_lite.inference.cells.size import Region, Size, estimate_size, scale_for
from maunet_lite.inference.ensembles import Model, as_models, intensity_of
from maunet_lite.inference.predict import MULTI_SCALE_LIMIT, checked_scales, predict, to_planes
from maunet_lite.network import MAUNet
from maunet_lite.postprocessing import Maps, PostprocessConfig
from maunet_lite.postprocessing import segment as segment_maps

FAR = 1.5  # times a size that a network knows

Scales = Sequence[float] | str  # numbers, or "auto"
Settings = str | PostprocessConfig | Mapping[str, Any]


def segment(
    image: np.ndarray | str | Path, model: Model | Sequence[Model] = "lite",
    device: str | torch.device = "auto", postprocess: Settings = "default", scales: Scales = "auto",
    *, diameter: float | None = None, pixel_size: float | None = None,
    channel: int | str | Sequence[int | str] | None = None, plane: int | str | None = None,
    project: str | None = None, **options: object,
) -> np.ndarray:  # fmt: skip
    """Segment the cells of an image: `predict_sized`, then `postprocessing.segment`.

    Parameters
    ----------
    image : ndarray, str or Path
        (H, W) or (H, W, C), of any type that `preprocessing.normalize` takes; or a file.
    model : str, Path, MAUNet or a sequence of them
        A shipped name, a file, a training folder, a network, or an ensemble. Files are read once and kept.
    device : str or torch.device
        ``"auto"`` takes a GPU where there is one.
    postprocess : str, PostprocessConfig or mapping
        A name or file that `PostprocessConfig.named` knows, the numbers themselves, or those that differ,
        such as ``{"foreground": 0.5}``. Settings that are stored with the model change ``"default"``.
    scales : "auto" or sequence of float
        Sizes at which the network sees the image, relative to its own. ``"auto"``: the one at which cells
        have a size that the network knows, see `predict_sized`.
    diameter : float, optional
        Diameter of the cells, instead of an estimate: in pixels, or in µm if `pixel_size` is given.
    pixel_size : float, optional
        Micrometres per pixel.
    channel, plane, project
        Which channels and which plane of a file or a stack are the image, see `data.read_image`.
    **options
        Passed to `predict`.

    Returns
    -------
    ndarray
        (H, W) int32: 0 background, cells 1 … N.

    Warns
    -----
    UserWarning
        If no cells were found, or cells of a size that the network does not know: says what to try.

    Examples
    --------
    >>> from maunet_lite.network import build_model
    >>> image = np.zeros((40, 60), dtype=np.uint8)
    >>> segment(image, model=build_model("lite"), device="cpu", diameter=12, pixel_size=0.5).shape
    (40, 60)
    """
    models = as_models(model)
    config = settings_of(models, postprocess)  # refuses an unknown name before the work
    diameter = in_pixels(diameter, pixel_size)
    if isinstance(image, (str, Path)) or (channel, plane, project) != (None, None, None):
        image = read_image(image, channel=channel, plane=plane, project=project)
    maps, size = predict_sized(models, image, scales, diameter=diameter, device=device, **options)
    labels = segment_maps(maps, config, keep_steps=False).labels
    if np.ptp(image) > 0 and (text := advice(labels, size, models)):
        warnings.warn(text, stacklevel=2)
    return labels


class Sized(NamedTuple):
    """What a network says about an image, and at which size it saw it.

    Attributes
    ----------
    maps : Maps
        Of the image's own size.
    size : Size
    """

    maps: Maps
    size: Size


def predict_sized(
    model_or_models: Model | Sequence[Model], image: np.ndarray, scales: Scales = "auto", *,
    diameter: float | None = None, device: str | torch.device = "auto", **options: object,
) -> Sized:  # fmt: skip
    """Choose the size at which the networks see an image, and return their maps of it.

    Parameters
    ----------
    model_or_models, image, device, **options
        As in `predict`.
    scales : "auto" or sequence of float
        ``"auto"``: by the diameter of the cells, which is estimated (`estimate_size`). Networks of which it
        is not recorded which sizes they were trained for see the image as it is.
    diameter : float, optional
        Diameter of the cells in pixels, instead of an estimate; it sets the scale for every network.

    Returns
    -------
    Sized

    Raises
    ------
    ValueError
        If `scales` is another word, or both scales and a diameter are given.
    """
    models = as_models(model_or_models)
    planes, options["device"] = to_planes(image, intensity_of(models)), device
    size = choose_size(
        models, lambda *part: planes[(slice(None), *part)], planes.shape[1:], scales, diameter, **options
    )
    if size.maps is not None:
        return Sized(size.maps, size)
    return Sized(predict(models, planes, size.scales, **options), size)


def choose_size(
    models: Sequence[MAUNet], region: Region, shape: tuple[int, int], scales: Scales = "auto",
    diameter: float | None = None, **options: object,
) -> Size:  # fmt: skip
    """Say at which scales networks are to see an image of which any `region` can be had; see `predict_sized`.

    Examples
    --------
    >>> choose_size([], lambda rows, columns: None, (90, 70), diameter=100.0).scales
    (0.26,)
    """
    if diameter is not None and scales != "auto":
        raise ValueError(f'diameter sets the scale: leave out scales={scales}, or say scales="auto"')
    if diameter is not None:
        return Size(float(diameter), (scale_for(diameter),))
    if scales != "auto":
        if isinstance(scales, str):
            raise ValueError(f'scales is {scales!r}; expected "auto" or numbers such as (1, 1.25, 1.5)')
        limit = options.get("single_scale_above", MULTI_SCALE_LIMIT)
        return Size(scales=tuple(checked_scales(scales, math.prod(shape), limit)))
    if known_sizes(models) is None:
        return Size()
    options.pop("progress", None)

    def look(part: Tensor, scale: float) -> Maps:
        shape = [max(1, round(n * scale)) for n in part.shape[1:]]
        seen = F.interpolate(part[None], shape, mode="bilinear", antialias=True)[0]
        return predict(models, part if scale == 1 else seen, **options)

    return estimate_size(look, region, shape)


def in_pixels(diameter: float | None, pixel_size: float | None) -> float | None:
    """Return a diameter in pixels, given in pixels or, if the size of a pixel is known, in µm; check both.

    Examples
    --------
    >>> in_pixels(12, 0.5), in_pixels(12, None), in_pixels(None, 0.5)
    (24.0, 12.0, None)
    """
    size = 1 if pixel_size is None else validate_pixel_size(pixel_size)
    return None if diameter is None else diameter / size


def known_sizes(models: Sequence[MAUNet]) -> tuple[float, float] | None:
    """Return the least and largest diameter that all networks were trained for, None if one does not say."""
    sizes = [model.settings.get("sizes") for model in models]
    if None in sizes or not sizes:
        return None
    return max(low for low, _ in sizes), min(high for _, high in sizes)


def advice(labels: np.ndarray, size: Size, models: Sequence[MAUNet]) -> str:
    """Say what to try if there are no cells, or cells of sizes that the networks do not know; else ""."""
    areas = np.bincount(labels.ravel())[1:]
    known = known_sizes(models)
    if not areas.any():
        seen = ", ".join(f"{scale:.2g}" for scale in size.scales)
        cure = "give the diameter of the cells (diameter=, --diameter), choose the channel that shows them"
        return f"no cells were found (seen at {seen} of the size of the image): {cure}, or try another model"
    diameter = math.sqrt(4 / math.pi * float(np.median(areas[areas > 0])))
    least, most = (known[0] / FAR, known[1] * FAR) if known else (0, math.inf)
    if any(least <= diameter * scale <= most for scale in size.scales):
        return ""
    cure = 'if it is wrong, give their diameter (diameter=, --diameter) or scales="auto"'
    sizes = f"the cells found measure {diameter:.3g} pixels, but the network knows"
    return f"{sizes} {known[0]:g} to {known[1]:g}: look at the result; {cure}"


def settings_of(models: Sequence[MAUNet], postprocess: Settings) -> PostprocessConfig:
    """Return settings of the post-processing.

    Parameters
    ----------
    models : sequence of MAUNet
        The first one's stored settings change the default.
    postprocess : str, PostprocessConfig or mapping
        A name or file that `PostprocessConfig.named` knows; a mapping changes the one called ``"base"``, or
        the default.

    Examples
    --------
    >>> settings_of([], {"base": "paper", "foreground": 0.5}).skeleton
    0.8
    """
    given = dict(postprocess) if isinstance(postprocess, Mapping) else {"base": postprocess}
    base = given.pop("base", "default")
    stored = models[0].settings.get("postprocess", {}) if models and base == "default" else {}
    return PostprocessConfig.named(base).override(**(stored | given))
