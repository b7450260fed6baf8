"""Public names of this room and where they come from, for editors and `lazy_loader`."""

from .authors import convert_authors as convert_authors
from .authors import import_authors as import_authors
from .blocks import ResidualBlock as ResidualBlock
from .blocks import UpBlock as UpBlock
from .blocks import fold_batch_norm as fold_batch_norm
from .checkpoints.card import model_card as model_card
from .checkpoints.files import WEIGHTS as WEIGHTS
from .checkpoints.files import find_checkpoint as find_checkpoint
from .checkpoints.files import read_record as read_record
from .checkpoints.files import save_model as save_model
from .checkpoints.files import shipped_models as shipped_models
from .checkpoints.models import load_model as load_model
from .describe import describe as describe
from .diagram import INCHES as INCHES
from .diagram import draw as draw
from .encoders import TimmEncoder as TimmEncoder
from .encoders import build_encoder as build_encoder
from .maunet import PRESETS as PRESETS
from .maunet import MAUNet as MAUNet
from .maunet import ModelConfig as ModelConfig
from .maunet import Output as Output
from .maunet import build_model as build_model
