"""Public names of this room and where they come from, for editors and `lazy_loader`."""

from .consistency import Consistency as Consistency
from .consistency import TwinNetworks as TwinNetworks
from .consistency import pseudo_accuracy as pseudo_accuracy
from .loop import train as train
from .losses import classification_consistency as classification_consistency
from .losses import consistency_loss as consistency_loss
from .losses import supervised_loss as supervised_loss
from .methods import build_network as build_network
from .recipes import RECIPES as RECIPES
from .recipes import TrainConfig as TrainConfig
from .recipes import recipe as recipe
from .recipes import seed_everything as seed_everything
from .run import changed_settings as changed_settings
from .run import holds_run as holds_run
from .run import run_settings as run_settings
