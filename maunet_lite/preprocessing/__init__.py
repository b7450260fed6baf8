"""Images to network input, label maps to training targets, and random training patches of both.

Comes in: images and label maps. Goes out: (H, W, 3) float32 in [0.01, 0.99], `Targets`, patches.
Paper: sections 2.1 and 3.2.2. Notebook: 01.
"""

from maunet_lite import open_room

__getattr__, __dir__, __all__ = open_room(__name__, __file__)
