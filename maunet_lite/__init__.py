"""MAUNet as a small package to read: cell segmentation in four modalities of microscopy.

Its rooms follow the way of an image: `data`, `preprocessing`, `network`, `inference`, `postprocessing`,
`evaluation`, `export`; beside them `training`, `features`, `scale`, `figures`, `course` and `cli`.

>>> import maunet_lite as ml
>>> ml.__version__.count(".")
2

The names below are loaded on first use, so that importing the package takes milliseconds and a lesson
(or ``maunet-lite --help``) does not wait for torch.
"""

import types
from typing import Any

import lazy_loader

__version__ = "0.1.0"

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)  # what `__init__.pyi` imports
__all__ += ["__version__"]


class Room(types.ModuleType):
    """A room in which a function wins over the module of its name: ``inference.predict`` is the function."""

    def __setattr__(self, name: str, value: Any) -> None:
        """Leave out what Python sets when it has imported a module of this room."""
        if not (isinstance(value, types.ModuleType) and name in self.__all__):
            super().__setattr__(name, value)
