"""Amounts of memory as people write and read them."""

import re


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
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*(?:([kmgt])(i?b?)|b)?", str(size).strip().lower())
    if not found:
        raise ValueError(f"{size!r} is no amount of memory: write it as 4GiB, 500MB or a number of bytes")
    base = 1000 if found[3] == "b" else 1024
    n_bytes = int(float(found[1]) * base ** " kmgt".index(found[2] or " "))
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
