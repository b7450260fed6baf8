"""Public names of this room and where they come from, for editors and `lazy_loader`."""

from .canvas import picture as picture
from .canvas import take_axes as take_axes
from .canvas import tidy as tidy
from .colors import CLASS_COLORS as CLASS_COLORS
from .colors import CLASS_NAMES as CLASS_NAMES
from .colors import ERROR_COLORS as ERROR_COLORS
from .colors import SERIES as SERIES
from .colors import outlines as outlines
from .colors import paint_cells as paint_cells
from .colors import random_colors as random_colors
from .colors import rgb as rgb
from .colors import to_display as to_display
from .diagrams import learning_curve as learning_curve
from .diagrams import score_strip as score_strip
from .diagrams import show_lines as show_lines
from .plots import errors as errors
from .plots import overlay as overlay
from .plots import show_classes as show_classes
from .plots import show_distance as show_distance
from .plots import show_image as show_image
from .plots import show_labels as show_labels
from .plots import show_maps as show_maps
from .plots import show_steps as show_steps
