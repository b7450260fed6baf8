"""What the commands share: kinds of options, how texts become values, exit codes."""

import ast
import json
import os
from contextlib import suppress
from typing import Annotated, Any

import typer
from typer import Argument, Option

USER_ERROR, WORK_FAILED, INTERRUPTED = 2, 1, 130

Texts = list[str] | None
Channel = Annotated[str | None, Option(help="Channels to use: numbers from 1, or names, such as DAPI,GFP.")]
Device = Annotated[str, Option(help="auto, cpu, cuda or mps.")]
Jobs = Annotated[int, Option(min=1, help="How many run side by side.")]
Models = Annotated[Texts, Option("--model", help="Name, file or run folder; repeat for an ensemble.")]
Parameters = Annotated[Texts, Option("--parameter", "-p", metavar="NAME=VALUE", help="Set a parameter.")]
Settings = Annotated[Texts, Option("--set", metavar="NAME=VALUE", help="Any other setting.")]
Steps = Annotated[Texts, Option("--set", metavar="NAME=VALUE", help="Post-processing: foreground=0.5.")]
Notebooks = Annotated[Texts, Argument(metavar="[NN]...", help="Numbers or names; all by default.")]
Plane = Annotated[str | None, Option(help="Plane of a stack to use, from 1.")]
Postprocess = Annotated[str, Option(help="default, paper, authors, none, or a file .json of settings.")]
Profile = Annotated[str, Option(help="How big: smoke, quick, gpu or full.")]
Project = Annotated[str | None, Option(help="Join the planes of a stack: max or mean.")]
Scales = Annotated[str, Option(help="Sizes at which the network sees an image: auto, or 1,1.25,1.5.")]
Diameter = Annotated[float | None, Option(help="Of the cells, not estimated: pixels, µm with --pixel-size.")]
Scheduler = Annotated[str | None, Option(help="Address of a running Dask scheduler.")]
Timeout = Annotated[float | None, Option(help="Minutes per notebook; the profile's limit by default.")]
Workers = Annotated[int | None, Option(min=1, help="Processes on this machine.")]


def group(text: str, **options: Any) -> typer.Typer:
    """Return an application or a group of commands that shows its help when called without one."""
    return typer.Typer(help=text, no_args_is_help=True, pretty_exceptions_enable=False, **options)


def say(text: object, **look: Any) -> None:
    """Print a line that holds names of files, harmless for a terminal; `look` is that of ``typer.secho``."""
    from maunet_lite.export import for_terminal

    typer.secho(for_terminal(text), **look)


def share_cores() -> None:
    """Let torch, which is not imported yet, leave the cores alone that others use; what is set stays.

    On an idle machine nothing changes.
    """
    from maunet_lite.scale import shared_cores, usable_cores

    shared = shared_cores()
    if (threads := int(shared["OMP_NUM_THREADS"])) < usable_cores() and "OMP_NUM_THREADS" not in os.environ:
        os.environ.update(shared)
        say(f"the machine is busy: {threads} of {usable_cores()} cores used (OMP_NUM_THREADS=N)", err=True)


def fail_if(trouble: Any, code: int = WORK_FAILED) -> None:
    """End the command with an exit code, once it has said what is the matter."""
    if trouble:
        raise typer.Exit(code)


def parse_assignments(texts: Texts) -> dict[str, Any]:
    """Turn ``NAME=VALUE`` texts into a dictionary: Python literals, true, false, none, or plain text.

    Examples
    --------
    >>> parse_assignments(["STEPS=30", "RATE=1e-3", "PRESET=lite", "PROXY=false", "SCALES=[1, 1.5]"])
    {'STEPS': 30, 'RATE': 0.001, 'PRESET': 'lite', 'PROXY': False, 'SCALES': [1, 1.5]}
    """
    words = {"true": True, "false": False, "none": None}
    values: dict[str, Any] = {}
    for text in texts or []:
        name, equals, value = text.partition("=")
        if not equals or not name.strip().isidentifier():
            raise ValueError(f"'{text}' is no NAME=VALUE, such as STEPS=30")
        values[name.strip()] = words.get(value.lower(), value)
        with suppress(ValueError, SyntaxError, MemoryError, RecursionError):
            values[name.strip()] = ast.literal_eval(value)
        try:
            json.dumps(values)
        except (TypeError, ValueError) as error:
            raise ValueError(f"'{text}' is no number, text, true, false, none or list of them") from error
    return values


def parse_scales(text: str) -> str | tuple[float, ...]:
    """Turn ``1,1.25,1.5`` into numbers; "auto" stays.

    Examples
    --------
    >>> parse_scales("1, 1.25"), parse_scales("auto")
    ((1.0, 1.25), 'auto')
    """
    if text == "auto":
        return text
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError:
        raise ValueError(f"'{text}' is neither auto nor a list of numbers, such as 1,1.25,1.5") from None
