"""The command ``maunet-lite``: a thin layer over the package.

Each command turns its options into one call of a function that can be used from Python just as well. Heavy
imports stand inside the commands, so that ``maunet-lite --help`` answers at once.
"""

import traceback
from pathlib import Path
from typing import Annotated, Any

import typer
from typer import Option
from typer.core import TyperGroup

from maunet_lite.cli import course, data
from maunet_lite.cli.models import convert, describe, doctor, evaluate, export_model, segment, train, tune
from maunet_lite.cli.options import INTERRUPTED, USER_ERROR, group

_ABOUT_FILES = FileNotFoundError, FileExistsError, PermissionError, NotADirectoryError, IsADirectoryError


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
            typer.secho(f"error: {error}", fg="red", err=True)
            typer.echo("(maunet-lite --traceback … shows where it was raised)", err=True)
            raise typer.Exit(USER_ERROR) from None


def is_expected(error: Exception) -> bool:
    """Tell whether an error is a message of the kit to its user, and no fault of a program.

    True for files that are not there or may not be used, and for a ValueError or ImportError that this
    package itself raised. A ValueError out of the depths of a library is a fault: its traceback must be seen.
    """
    if isinstance(error, _ABOUT_FILES):
        return True
    frames = traceback.extract_tb(error.__traceback__)
    ours = bool(frames) and Path(__file__).parents[1] in Path(frames[-1].filename).parents
    missing_module = isinstance(error, ImportError) and error.name is None  # raised by hand, with advice
    return ours and (isinstance(error, ValueError) or missing_module)


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
    show_traceback: Annotated[
        bool, Option("--traceback", envvar="MAUNET_TRACEBACK", help="Show where an error was raised.")
    ] = False,
    version: Annotated[
        bool, Option("--version", callback=_version, is_eager=True, help="Say which version this is.")
    ] = False,
) -> None:
    """Cell segmentation with MAUNet: a course of notebooks and the package under it."""


def main() -> None:
    """Run the command line."""
    app()
