"""Public names of this room and where they come from, for editors and `lazy_loader`."""

from .batch.segment_files import find_images as find_images
from .batch.segment_files import segment_files as segment_files
from .cores import idle_cores as idle_cores
from .cores import shared_cores as shared_cores
from .cores import usable_cores as usable_cores
from .lock import one_run_in as one_run_in
from .memory import needs_blocks as needs_blocks
from .pool import open_pool as open_pool
from .slides.blocks import Block as Block
from .slides.blocks import BlockGrid as BlockGrid
from .slides.maps import SlideNetwork as SlideNetwork
from .slides.segment import Step as Step
from .slides.segment import segment_slide as segment_slide
from .slides.survey import measure_sample as measure_sample
