"""Slides larger than memory, thousands of images, many machines.

Comes in: files of any size. Goes out: label maps and tables, complete or not at all.
Paper: section 4.3, table 6. Notebook: 07.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "batch.segment_files": ["find_images", "segment_files"],
        "cores": ["usable_cores", "idle_cores", "shared_cores"],
        "lock": ["one_run_in"],
        "slides.blocks": ["Block", "BlockGrid"],
        "slides.maps": ["SlideNetwork"],
        "pool": ["open_pool"],
        "memory": ["needs_blocks"],
        "slides.survey": ["measure_sample"],
        "slides.segment": ["Step", "segment_slide"],
    },
)  # fmt: skip
