"""MAUNet as a small package to read: cell segmentation in four modalities of microscopy.

Its rooms follow the way of an image: `data`, `preprocessing`, `network`, `inference`, `postprocessing`,
`evaluation`, `export`; beside them `training`, `features`, `scale`, `figures`, `course` and `cli`.

>>> import maunet_lite as ml
>>> ml.__version__.count(".")
2

The names below are loaded on first use, so that importing the package takes milliseconds and a lesson
(or ``maunet-lite --help``) does not wait for torch.
"""

import sys
import types
from typing import TYPE_CHECKING, Any

import lazy_loader

__version__ = "0.1.0"

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submodules=["cli", "course", "data", "evaluation", "export", "features", "figures", "inference",
                "network", "postprocessing", "preprocessing", "scale", "training"],
    submod_attrs={
        "data": ["load_dataset", "read_image", "read_labels", "simulate", "write_labels"],
        "evaluation": ["evaluate", "match_cells"],
        "inference": ["predict", "segment"],
        "network": ["MAUNet", "build_model", "import_authors", "load_model"],
        "preprocessing": ["make_targets", "normalize"],
        "training": ["seed_everything", "train"],
    },
)  # fmt: skip
__all__ += ["__version__"]

if TYPE_CHECKING:  # what is loaded on first use is hidden from editors and type checkers
    from maunet_lite.data import load_dataset as load_dataset, read_image as read_image
    from maunet_lite.data import read_labels as read_labels, simulate as simulate
    from maunet_lite.data import write_labels as write_labels
    from maunet_lite.evaluation import evaluate as evaluate, match_cells as match_cells
    from maunet_lite.inference import predict as predict, segment as segment
    from maunet_lite.network import MAUNet as MAUNet, build_model as build_model
    from maunet_lite.network import import_authors as import_authors, load_model as load_model
    from maunet_lite.preprocessing import make_targets as make_targets, normalize as normalize
    from maunet_lite.training import seed_everything as seed_everything, train as train


class Room(types.ModuleType):
    """A room in which a function wins over the module of its name: ``inference.predict`` is the function."""

    def __setattr__(self, name: str, value: Any) -> None:
        """Leave out what Python sets when it has imported a module of this room."""
        if not (isinstance(value, types.ModuleType) and name in self.__all__):
            super().__setattr__(name, value)


def open_room(name: str, file: str) -> tuple[Any, Any, list[str]]:
    """Make a module a `Room` whose public names, as its ``__init__.pyi`` lists them, load on first use."""
    found = lazy_loader.attach_stub(name, file)
    sys.modules[name].__class__ = Room
    return found
