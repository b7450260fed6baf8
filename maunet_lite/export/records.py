"""Texts that leave the kit: tables and records as files, and names escaped where they enter another language.

The name of a file is data of whoever made it. What is markup, a formula, an address or a command to a program
is made harmless at the edge where a name leaves, by one function for each kind of edge.
"""

import html
import re
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pandas as pd

from maunet_lite.data import atomic_path

_FORMULA = ("=", "+", "-", "@", "\t", "\r", "'")
_UNSEEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")


def for_terminal(text: object) -> str:
    r"""Return a text for terminals and logs: what would command a terminal, or is no Unicode, is escaped.

    Line feeds and tabs stay. A byte of a file name that is no UTF-8 appears as that byte.

    Examples
    --------
    >>> print(for_terminal("\x1b[31mred"), for_terminal("latin_\udce9.png"))
    \x1b[31mred latin_\xe9.png
    """
    shown = str(text).encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    return _UNSEEN.sub(lambda match: repr(match[0])[1:-1], shown)


def for_html(text: object) -> str:
    """Return a text for HTML, in attributes, too.

    Examples
    --------
    >>> for_html("<img src=x>.png")
    '&lt;img src=x&gt;.png'
    """
    return html.escape(for_terminal(text))


def for_link(name: str) -> str:
    """Return a file name as a relative address.

    Examples
    --------
    >>> for_link("50% #1.html")
    '50%25%20%231.html'
    """
    return quote(name, errors="surrogateescape")  # its colons, too: no name is a scheme, such as javascript:


def for_spreadsheet(value: Any) -> Any:
    """Return a value of a table, of which no spreadsheet makes a formula; `from_spreadsheet` undoes it.

    Examples
    --------
    >>> for_spreadsheet("=cmd|x.png"), for_spreadsheet("a.png"), for_spreadsheet(-2.5)
    ("'=cmd|x.png", 'a.png', -2.5)
    """
    if not isinstance(value, str):
        return value
    text = for_terminal(value)
    return f"'{text}" if text.startswith(_FORMULA) else text


def from_spreadsheet(value: Any) -> Any:
    """Return what `for_spreadsheet` was given.

    Examples
    --------
    >>> from_spreadsheet(for_spreadsheet("'=1+1"))
    "'=1+1"
    """
    return value.removeprefix("'") if isinstance(value, str) else value


def write_table(path: Path, table: pd.DataFrame, float_format: str | None = None) -> None:
    """Write a table as CSV, complete or not at all, its texts and column names safe in a spreadsheet."""
    safe = table.rename(columns=for_spreadsheet)
    for k, kind in enumerate(table.dtypes):
        if not pd.api.types.is_numeric_dtype(kind):
            safe.isetitem(k, table.iloc[:, k].map(for_spreadsheet))
    with atomic_path(path) as temporary:
        safe.to_csv(temporary, index=False, float_format=float_format, lineterminator="\n")
