"""Public names of this room and where they come from, for editors and `lazy_loader`."""

from .baseline import otsu_watershed as otsu_watershed
from .errors import Errors as Errors
from .errors import errors as errors
from .evaluate import baseline as baseline
from .evaluate import evaluate as evaluate
from .evaluate import evaluate_folder as evaluate_folder
from .matching import Match as Match
from .metrics import Rules as Rules
from .metrics import ap_curve as ap_curve
from .metrics import dice as dice
from .metrics import match_cells as match_cells
from .scoreboard import format_summary as format_summary
from .scoreboard import summary as summary
from .tune import Tuned as Tuned
from .tune import tune as tune
