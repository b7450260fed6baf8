"""The command ``maunet-lite``: a thin layer over the other rooms.

Comes in: what is typed. Goes out: exit codes 0 (done), 1 (work failed), 2 (user error), 130 (stopped).
Paper: nothing. Notebooks: 00, 08.
"""

import sys

import lazy_loader

from maunet_lite import Room

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
sys.modules[__name__].__class__ = Room
