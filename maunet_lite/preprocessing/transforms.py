"""The kit's scaling and targets as MONAI dictionary transforms, for any MONAI pipeline.

Arrays and tensors have the channels first, as MONAI's have. `docs/monai.md` trains with these in plain MONAI.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from monai.transforms import MapTransform
from monai.utils import convert_to_dst_type, convert_to_numpy, ensure_tuple

from maunet_lite.preprocessing.intensity import normalize
from maunet_lite.preprocessing.targets import TargetConfig, make_targets


@dataclass(eq=False)
class Step(MapTransform):
    """Base of the steps, whose fields are their arguments: this prints them. One key may stand for a list."""

    keys: str | Sequence[str]
    allow_missing_keys: bool = field(default=False, kw_only=True, repr=False)

    def __post_init__(self) -> None:
        self.keys = ensure_tuple(self.keys)


@dataclass(eq=False)
class NormalizeCellsd(Step):
    """Scale images (1 to 4, H, W) of any microscope to (3, H, W) float32 in [0.01, 0.99]: `normalize`.

    Examples
    --------
    >>> item = {"image": np.arange(12).reshape(1, 3, 4)}
    >>> NormalizeCellsd(["image"])(item)["image"].shape
    (3, 3, 4)
    """

    method: str = "robust"

    def __call__(self, data: Mapping[str, Any]) -> dict[str, Any]:
        """Return the items with images scaled."""
        d = dict(data)
        for key in self.key_iterator(d):
            scaled = normalize(np.moveaxis(convert_to_numpy(d[key]), 0, -1), self.method)
            d[key] = _like(d[key], scaled.transpose(2, 0, 1))
        return d


@dataclass(eq=False)
class CellTargetsd(MapTransform):
    """Add what MAUNet learns from a label map (1, H, W): `make_targets`.

    ``"classes"`` is (1, H, W) uint8, 0 background, 1 interior, 2 boundary; ``"distance"`` (1, H, W) float32.
    Comes before cuts: a window that holds parts of a single cell would be refused as a mask of foreground.

    Examples
    --------
    >>> item = CellTargetsd("label")({"label": np.array([[[0, 0, 0, 0], [0, 8, 8, 8]]])})
    >>> item["classes"]
    array([[[0, 0, 0, 0],
            [0, 1, 1, 1]]], dtype=uint8)
    """

    key: str = "label"
    config: TargetConfig = field(default_factory=TargetConfig)

    def __call__(self, data: Mapping[str, Any]) -> dict[str, Any]:
        """Return the items with targets."""
        labels, c = data[self.key], self.config
        targets = make_targets(convert_to_numpy(labels)[0], boundary=c.boundary, center=c.center, beta=c.beta)
        return dict(data) | {name: _like(labels, part[None]) for name, part in targets._asdict().items()}


def _like(before: Any, array: np.ndarray) -> Any:
    """Return an array as tensor or array, whatever it was `before`, with its metadata."""
    return convert_to_dst_type(np.ascontiguousarray(array), dst=before, dtype=array.dtype)[0]
