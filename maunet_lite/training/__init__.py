"""Losses, the training loop, consistency regularization, recipes and run folders.

Comes in: a dataset and a `TrainConfig`. Goes out: a folder with weights, logs and the configuration.
Paper: sections 2.2.4, 2.2.5 and 3.2. Notebooks: 02, 04.
"""

from maunet_lite import open_room

__getattr__, __dir__, __all__ = open_room(__name__, __file__)
