"""The command ``maunet-lite``: a thin layer over the other rooms.

Comes in: what is typed. Goes out: exit codes 0 (done), 1 (work failed), 2 (user error), 130 (stopped).
Paper: nothing. Notebooks: 00, 08.
"""

from maunet_lite import open_room

__getattr__, __dir__, __all__ = open_room(__name__, __file__)
