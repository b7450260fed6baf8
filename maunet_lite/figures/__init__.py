"""Figures from arrays: images, cells, maps, errors, scores.

Comes in: arrays, label maps and tables. Goes out: matplotlib axes, colours.
Paper: its figures. Notebooks: all.
"""

from maunet_lite import open_room

__getattr__, __dir__, __all__ = open_room(__name__, __file__)
