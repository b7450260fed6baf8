"""Public names of this room and where they come from, for editors and `lazy_loader`."""

from .config import PostprocessConfig as PostprocessConfig
from .config import Yardstick as Yardstick
from .maps import Maps as Maps
from .maps import interior_distance as interior_distance
from .options import NOT_NEGATIVE as NOT_NEGATIVE
from .options import POSITIVE as POSITIVE
from .options import SHARE as SHARE
from .options import Options as Options
from .options import parse_json as parse_json
from .options import read_json as read_json
from .run_lengths import Runs as Runs
from .run_lengths import label_components as label_components
from .run_lengths import number_in_reading_order as number_in_reading_order
from .segment import connected_interiors as connected_interiors
from .segment import segment as segment
from .steps import blur_distance as blur_distance
from .steps import mean_cell_width as mean_cell_width
from .steps import threshold_maps as threshold_maps
from .steps import width_by_depth as width_by_depth
from .watershed import flood as flood
