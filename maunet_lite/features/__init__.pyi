"""Public names of this room and where they come from, for editors and `lazy_loader`."""

from .mean_features import HEAD_INPUT as HEAD_INPUT
from .mean_features import class_head as class_head
from .mean_features import layers as layers
from .mean_features import mean_features as mean_features
from .plots import margin_strip as margin_strip
from .plots import measure_lines as measure_lines
from .plots import modality_colors as modality_colors
from .plots import scatter as scatter
from .separability import MEASURES as MEASURES
from .separability import discriminability as discriminability
from .space import PARTS as PARTS
from .space import Boundary as Boundary
from .space import Features as Features
from .space import Head as Head
from .space import Plane as Plane
from .space import decision_boundary as decision_boundary
from .space import margins as margins
from .space import pca as pca
