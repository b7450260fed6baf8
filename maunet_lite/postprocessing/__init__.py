"""From the maps of the network to cells, in four visible steps.

Comes in: `Maps` (class probabilities, distance). Goes out: `Segmentation` (labels, every step on the way).
Paper: section 2.3, figure 4. Notebook: 05.
"""

import sys

import lazy_loader

from maunet_lite import Room

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
sys.modules[__name__].__class__ = Room
