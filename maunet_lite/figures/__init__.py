"""Figures from arrays: images, cells, maps, errors, scores.

Comes in: arrays, label maps and tables. Goes out: matplotlib axes, colours.
Paper: its figures. Notebooks: all.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
