"""The networks in packages for the BioImage Model Zoo. They run where ``maunet-lite`` is installed.

A copy of this file travels in each package; ``bioimageio.core`` calls one of its classes with the fields of
`network.ModelConfig` and loads the weights.
"""

import numpy as np
import torch
from torch import Tensor, nn

import maunet_lite as ml
from maunet_lite.export import ExportedMaps
from maunet_lite.network import ModelConfig


class MapsOfCells(ExportedMaps):
    """Scaled images (B, 3, H, W) to maps (B, K, H, W)."""

    def __init__(self, **config: object) -> None:
        super().__init__(ml.MAUNet(ModelConfig.from_dict(config)))


class LabelsOfCells(nn.Module):
    """Images of any intensities (B, C, H, W) to label maps (B, 1, H, W), as float32 holds them."""

    def __init__(self, settings: dict[str, object] | None = None, **config: object) -> None:
        super().__init__()
        self.network = ml.MAUNet(ModelConfig.from_dict(config))
        self.network.settings = settings or {}

    def forward(self, image: Tensor) -> Tensor:
        """Segment each image at its own size."""
        pictures = image.movedim(1, -1).cpu().numpy()  # (B, C, H, W) → (B, H, W, C)
        labels = [ml.segment(picture, self.network, image.device, scales=(1.0,)) for picture in pictures]
        return torch.from_numpy(np.stack(labels)[:, None].astype(np.float32))
