"""Everything around the notebooks: what they call, how they are run, published and turned into a website.

In a notebook::

    from maunet_lite.teaching import record, show

    show(fig, alt="Left: the image. Right: its class map, cell boundaries in orange.")
    record("F1 on val", 0.83)

`show` displays a figure with a description for readers who cannot see it; `record` also puts a result into
the report of a headless run. Names are loaded on first use, as in the package itself.
"""

from __future__ import annotations

import importlib
from typing import Any

# public name: module that defines it
_EXPORTS = {
    "PROFILES": "profiles",
    "publish_notebooks": "publish",
    "record": "recording",
    "run_notebooks": "runner",
    "show": "display",
    "write_site": "site",
}

__all__ = sorted(_EXPORTS)


def __getattr__(name: str) -> Any:
    """Import the module that defines `name` when it is first asked for."""
    if name in _EXPORTS:
        value = getattr(importlib.import_module(f"{__name__}.{_EXPORTS[name]}"), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *_EXPORTS])
