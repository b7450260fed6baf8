"""Files to arrays: images and label maps read and checked, dataset folders, catalogue, simulation.

Comes in: files and folders. Goes out: images (H, W) or (H, W, C), label maps (H, W) int32, `CellDataset`.
Paper: section 3.1. Notebooks: 00, 08.
"""

from maunet_lite import open_room

__getattr__, __dir__, __all__ = open_room(__name__, __file__)
