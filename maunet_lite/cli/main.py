"""The command ``maunet-lite``: a thin layer over the package.

Each command turns its options into one call of a function that can be used from Python just as well. Heavy
imports stand inside the commands, so that ``maunet-lite --help`` answers at once.
"""

import errno
import sys
import traceback
from pathlib import Path
from typing import Annotated, Any

import typer
from typer import Option
from typer.core import TyperGroup

from maunet_lite.cli import course, data
from maunet_lite.cli.models import convert, describe, doctor, evaluate, export_model, segment, train, tune
from maunet_lite.cli.options import INTERRUPTED, USER_ERROR, group, say

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class _KitGroup(TyperGroup):
    """Says what a user did wrong in one line; the traceback is one option away."""

    def invoke(self, ctx: Any) -> Any:
        """Run a command and translate the errors that the kit raises on purpose."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            typer.echo("interrupted", err=True)
            raise typer.Exit(INTERRUPTED) from None
        except Exception as error:
            if ctx.params.get("show_traceback") or not is_expected(error):
                raise
            say(f"error: {in_words(error)}", fg="red", err=True)
            typer.echo("(maunet-lite --traceback … shows where it was raised)", err=True)
            raise typer.Exit(USER_ERROR) from None


def is_expected(error: Exception) -> bool:
    """Tell whether an error is a message of the kit to its user, and no fault of a program.

    True for whatever the system refuses (files, disk, memory, network), and for a ValueError, ArithmeticError
    or ImportError that this package itself raised. A ValueError out of the depths of a library is a fault:
    its traceback must be seen.
    """
    if isinstance(error, (OSError, MemoryError)):
        return not isinstance(error, BrokenPipeError)  # typer ends quietly when nobody reads on
    frames = traceback.extract_tb(error.__traceback__)
    ours = bool(frames) and Path(__file__).parents[1] in Path(frames[-1].filename).parents
    missing_module = isinstance(error, ImportError) and error.name is None  # raised by hand, with advice
    return ours and (isinstance(error, (ValueError, ArithmeticError)) or missing_module)


def in_words(error: Exception) -> str:
    """Return the message of an expected error; where the system's own names no cure, with one."""
    if isinstance(error, MemoryError):
        return f"there is not enough memory ({error}): close other programs, or give --memory, smaller images"
    if isinstance(error, OSError) and error.errno in _FULL:
        return f"{error}: free some space and run the same again; what was finished is kept"
    return str(error)


app = group("Cell segmentation with MAUNet: a course of notebooks and the package under it.", cls=_KitGroup)
app.add_typer(course.app, name="notebooks")
app.add_typer(data.app, name="data")
for command in (segment, train, evaluate, tune, describe, convert, export_model, course.sweep, doctor):
    app.command()(command)


def _version(value: bool) -> None:
    if value:
        from maunet_lite import __version__

        typer.echo(f"maunet-lite {__version__}")
        raise typer.Exit


@app.callback()
def options(
    show_traceback: Annotated[bool, Option("--traceback", help="Show where an error was raised.")] = False,
    version: Annotated[
        bool, Option("--version", callback=_version, is_eager=True, help="Say which version this is.")
    ] = False,
) -> None:
    """Cell segmentation with MAUNet: a course of notebooks and the package under it."""


def main() -> None:
    """Run the command line."""
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="backslashreplace")  # a name may hold what the terminal's encoding does not
    app()
