"""Everything around the notebooks: what they call, how they are run, published and checked.

Comes in: sources of notebooks. Goes out: executed notebooks, reports, a website, verdicts on exercises.
Paper: nothing. Notebooks: all. In one, ``show(fig, alt="…")`` displays a figure with a description for
readers who cannot see it, and ``record("F1 on val", 0.83)`` puts a result into the report of a headless run.
"""

from maunet_lite import open_room

__getattr__, __dir__, __all__ = open_room(__name__, __file__)
