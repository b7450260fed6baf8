"""A network and an image of any size to maps and cells: windows, scales, ensembles.

Comes in: an image and networks. Goes out: `Maps` from `predict`, a label map (H, W) int32 from `segment`.
Paper: section 4.1. Notebook: 07.
"""

from maunet_lite import open_room

__getattr__, __dir__, __all__ = open_room(__name__, __file__)
