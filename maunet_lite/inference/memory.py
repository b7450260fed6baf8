"""Amounts of memory: read them as people write them, write them as people read them, measure them."""

from __future__ import annotations

import re
import sys
from pathlib import Path

_UNITS = {"k": 1, "m": 2, "g": 3, "t": 4}


def parse_bytes(size: str | int | float) -> int:
    """Return how many bytes are meant by ``"4GiB"``, ``"500 MB"``, ``"1.5g"`` or a plain number.

    Parameters
    ----------
    size : str, int or float
        KiB, MiB, GiB and TiB are powers of 1024, KB, MB, GB and TB powers of 1000; a lone K, M, G or T is a
        power of 1024. Upper or lower case. A plain number counts bytes.

    Returns
    -------
    int
        At least 1.

    Raises
    ------
    ValueError
        If it is no amount of memory, or not above 0.

    Examples
    --------
    >>> parse_bytes("4GiB") == 4 * 2**30, parse_bytes("500 MB"), parse_bytes(2**20)
    (True, 500000000, 1048576)
    """
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*(?:([kmgt]?)(i?)(b?))\s*", str(size), re.IGNORECASE)
    unit = found[2].lower() if found else ""
    if not found or (found[3] and not unit):
        raise ValueError(f"{size!r} is no amount of memory: write it as 4GiB, 500MB or a number of bytes")
    base = 1000 if found[4] and not found[3] else 1024
    n_bytes = int(float(found[1]) * base ** _UNITS.get(unit, 0))
    if n_bytes < 1:
        raise ValueError(f"{size!r} is no memory at all: give more than 0 bytes")
    return n_bytes


def show_bytes(n_bytes: float) -> str:
    """Return an amount of memory as people read it.

    Examples
    --------
    >>> show_bytes(3.5 * 2**30), show_bytes(300 * 2**20), show_bytes(12)
    ('3.5 GiB', '300 MiB', '12 bytes')
    """
    for exponent, unit in ((4, "TiB"), (3, "GiB"), (2, "MiB"), (1, "KiB")):
        if n_bytes >= 1024**exponent:
            return f"{n_bytes / 1024**exponent:.3g} {unit}"
    return f"{n_bytes:.0f} bytes"


def peak_memory() -> int:
    """Return the most memory that this process has held at once so far, in bytes (resident set size).

    On Windows this is psutil's peak working set.

    Examples
    --------
    >>> peak_memory() > 2**20
    True
    """
    if sys.platform == "win32":
        import psutil

        return int(psutil.Process().memory_info().peak_wset)
    status = Path("/proc/self/status")
    if status.exists():  # Linux: getrusage would count the process that started this one, too
        found = re.search(r"^VmHWM:\s+(\d+) kB", status.read_text(), re.MULTILINE)
        if found:
            return int(found[1]) * 1024
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return int(peak if sys.platform == "darwin" else peak * 1024)  # macOS counts bytes, Linux KiB


def current_memory() -> int:
    """Return the memory that this process holds now, in bytes (resident set size).

    Examples
    --------
    >>> 2**20 < current_memory() <= 2 * peak_memory()
    True
    """
    import psutil

    return int(psutil.Process().memory_info().rss)
