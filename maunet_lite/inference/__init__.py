"""A network and an image of any size to maps and cells: windows, scales, ensembles.

Comes in: an image and networks. Goes out: `Maps` from `predict`, a label map (H, W) int32 from `segment`.
Paper: section 4.1. Notebook: 07.
"""

import sys

import lazy_loader

from maunet_lite import Room

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
sys.modules[__name__].__class__ = Room
