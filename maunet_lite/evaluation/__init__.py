"""Cells against the truth: matching, scores, errors, and the classical baseline.

Comes in: pairs of label maps, or a network and a dataset. Goes out: counts, scores, tables.
Paper: sections 3.1 and 4, tables 4, 5 and 7. Notebook: 06.
"""

from maunet_lite import open_room

__getattr__, __dir__, __all__ = open_room(__name__, __file__)
