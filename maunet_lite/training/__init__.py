"""Losses, the training loop, consistency regularization, recipes and run folders.

Comes in: a dataset and a `TrainConfig`. Goes out: a folder with weights, logs and the configuration.
Paper: sections 2.2.4, 2.2.5 and 3.2. Notebooks: 02, 04.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
