"""Public names and where they come from: read by editors, and by `lazy_loader` when one is first used."""

import types

from . import cli as cli
from . import course as course
from . import data as data
from . import evaluation as evaluation
from . import export as export
from . import features as features
from . import figures as figures
from . import inference as inference
from . import network as network
from . import postprocessing as postprocessing
from . import preprocessing as preprocessing
from . import scale as scale
from . import training as training
from .data.dataset.folder import load_dataset as load_dataset
from .data.reading.images import read_image as read_image
from .data.reading.images import read_labels as read_labels
from .data.simulation.pictures import simulate as simulate
from .data.writing import write_labels as write_labels
from .evaluation.evaluate import evaluate as evaluate
from .evaluation.metrics import match_cells as match_cells
from .inference.cells.segment import segment as segment
from .inference.predict import predict as predict
from .network.authors import import_authors as import_authors
from .network.checkpoints.models import load_model as load_model
from .network.maunet import MAUNet as MAUNet
from .network.maunet import build_model as build_model
from .preprocessing.intensity import normalize as normalize
from .preprocessing.targets import make_targets as make_targets
from .training.loop import train as train
from .training.recipes import seed_everything as seed_everything

__version__: str

class Room(types.ModuleType): ...
