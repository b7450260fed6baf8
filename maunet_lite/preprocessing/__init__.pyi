"""Public names of this room and where they come from, for editors and `lazy_loader`."""

from .augmentation.config import AugmentationConfig as AugmentationConfig
from .augmentation.steps import build_augmentation as build_augmentation
from .augmentation.windows import median_diameter as median_diameter
from .intensity import Scaling as Scaling
from .intensity import ScalingMethod as ScalingMethod
from .intensity import find_scaling as find_scaling
from .intensity import normalize as normalize
from .intensity import sample_of as sample_of
from .patches import PatchDataset as PatchDataset
from .patches import source_weights as source_weights
from .targets import TargetConfig as TargetConfig
from .targets import Targets as Targets
from .targets import class_map as class_map
from .targets import distance_field as distance_field
from .targets import make_targets as make_targets
from .transforms import CellTargetsd as CellTargetsd
from .transforms import NormalizeCellsd as NormalizeCellsd
