"""From the maps of the network to cells, in four visible steps.

Comes in: `Maps` (class probabilities, distance). Goes out: `Segmentation` (labels, every step on the way).
Paper: section 2.3, figure 4. Notebook: 05.
"""

from maunet_lite import open_room

__getattr__, __dir__, __all__ = open_room(__name__, __file__)
