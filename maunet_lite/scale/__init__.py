"""Slides larger than memory, thousands of images, many machines.

Comes in: files of any size. Goes out: label maps and tables, complete or not at all.
Paper: section 4.3, table 6. Notebook: 07.
"""

from maunet_lite import open_room

__getattr__, __dir__, __all__ = open_room(__name__, __file__)
