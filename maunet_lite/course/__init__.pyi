"""Public names of this room and where they come from, for editors and `lazy_loader`."""

from .correction.session import Session as Session
from .correction.widget import correct as correct
from .display import record as record
from .display import show as show
from .publishing.copies import write_copies as write_copies
from .publishing.pages import write_site as write_site
from .publishing.publish import check as check
from .publishing.publish import publish_notebooks as publish_notebooks
from .publishing.sources import select as select
from .running.profiles import PROFILES as PROFILES
from .running.runner import run_notebooks as run_notebooks
from .running.sweeps import TABLE as TABLE
from .running.sweeps import run_sweep as run_sweep
from .widgets import Choice as Choice
from .widgets import Slider as Slider
from .widgets import explorer as explorer
