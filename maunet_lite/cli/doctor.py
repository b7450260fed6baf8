"""What is installed, which device is used and why, and how fast this machine is.

The question behind most reports of trouble is "is my GPU used, and why not?"; `explain_device` answers it.
"""

import importlib
import os
import platform
import re
import shutil
import sys
import textwrap
import timeit
from collections import defaultdict
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple

from maunet_lite import __version__

_GIB = 2**30
# modules that load libraries of the system, and what installs them
_FRAGILE = {"cv2": "opencv-python-headless", "imagecodecs": "imagecodecs", "skimage": "scikit-image"}
_MARKS = {"ok": "✔", "note": "·", "problem": "✘"}


class Finding(NamedTuple):
    """One line of the diagnosis: `state` is "ok", "note" or "problem"; `advice` helps unless it is "ok"."""

    topic: str
    state: str
    text: str
    advice: str = ""


def diagnose(speed: bool = True) -> list[Finding]:
    """Look at everything that matters for the kit.

    Parameters
    ----------
    speed : bool
        Also measure how fast the `lite` network runs here (some seconds).

    Returns
    -------
    list of Finding
    """
    checks = [lambda: [explain_device(*look_at_hardware())], check_machine, check_packages, check_imports]
    findings = []
    for check in [*checks, *[lambda: [check_speed()]] * speed]:
        try:
            findings += check()
        except Exception as error:  # what is broken is what the diagnosis is for
            findings.append(_broken(f"it cannot be looked at ({type(error).__name__}: {error})"))
    return findings


def check_imports() -> Iterator[Finding]:
    """Import what may be installed and yet not work, for want of a system library or of another version."""
    for name in _FRAGILE:
        try:
            importlib.import_module(name)
        except Exception as error:  # whatever its loader raises
            yield _broken(f"{name} cannot be imported ({error})", _FRAGILE[name])


def _broken(text: str, package: str = "-e .") -> Finding:
    advice = f"pip install --force-reinstall -c constraints.txt {package} in the folder of the kit"
    return Finding("packages", "problem", " ".join(text.split()), advice)


def look_at_hardware() -> tuple[Any, ...]:
    """Ask torch and the system about accelerators; return the arguments of `explain_device`."""
    import torch

    version, cuda = torch.version, torch.cuda
    gpus = [cuda.get_device_properties(index) for index in range(cuda.device_count())]
    built_for = f"CUDA {version.cuda}" if version.cuda else f"ROCm {version.hip}" if version.hip else None
    names = [f"{gpu.name} ({gpu.total_memory / _GIB:.0f} GiB)" for gpu in gpus]
    mps, driver = torch.backends.mps.is_available(), shutil.which("nvidia-smi") is not None
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    return torch.__version__, built_for, names, mps, driver, visible


def explain_device(
    version: str, built_for: str | None, gpus: list[str], mps: bool, driver: bool, visible: str | None
) -> Finding:
    """Say which device is used, why, and what to do if it should be another.

    Parameters
    ----------
    version : str
        Of torch.
    built_for : str or None
        What torch was built for, such as ``"CUDA 13.0"`` or ``"ROCm 6.4"``.
    gpus : list of str
        Names of the devices that torch can use.
    mps : bool
        Whether torch can use the GPU of a Mac.
    driver : bool
        Whether the program ``nvidia-smi`` is there.
    visible : str or None
        The environment variable ``CUDA_VISIBLE_DEVICES``.

    Examples
    --------
    >>> explain_device("2.13.0+cpu", None, [], mps=False, driver=True, visible=None).text
    'CPU: torch 2.13.0+cpu was built without GPU support, though this machine has an NVIDIA driver'
    """
    torch = f"torch {version} was built " + (f"for {built_for}" if built_for else "without GPU support")
    hidden = visible is not None and not visible.strip("- 1")
    cases = [  # the first whose condition holds: condition, state, what, advice
        (gpus, "ok", f"GPU: {', '.join(gpus)}; {torch}", ""),
        (mps, "ok", f"GPU of this Mac (MPS); torch {version} can use it", ""),
        (not built_for and driver, "problem", f"CPU: {torch}, though this machine has an NVIDIA driver",
         "install a CUDA build of the same version: choose CUDA in the selector on PyTorch's start page"),
        (not built_for, "note", f"CPU: no GPU was found; {torch}",
         "fine for lessons: the profiles smoke and quick are made for it"),
        (driver and hidden, "problem",
         f"CPU: the variable CUDA_VISIBLE_DEVICES={visible!r} hides every GPU from torch",
         "unset CUDA_VISIBLE_DEVICES, or set it to 0"),
        (driver, "problem", f"CPU: {torch}, but the driver does not work with it",
         "run nvidia-smi: if it fails, install the driver anew; if its CUDA version is older, update it"),
        (True, "note", f"CPU: {torch}, but no NVIDIA driver was found",
         "with a GPU in this machine: install its driver, then run this again"),
    ]  # fmt: skip
    return next(Finding("device", *rest) for condition, *rest in cases if condition)


def check_machine() -> Iterator[Finding]:
    """Say how many cores torch uses, and how much memory and disk are free."""
    import psutil
    import torch

    cores, threads, limit = os.cpu_count() or 1, torch.get_num_threads(), os.environ.get("OMP_NUM_THREADS")
    state = "ok" if not limit or threads >= cores // 2 else "note"
    advice = f"OMP_NUM_THREADS is {limit}: unset it to use all cores"
    yield Finding("cores", state, f"{cores}, torch uses {threads} threads", advice)
    memory, disk = psutil.virtual_memory(), shutil.disk_usage(".")
    for topic, free, text, advice in (
        ("memory", memory.available, f"of {memory.total / _GIB:.1f} GiB free",
         "close other programs, or run notebooks with --jobs 1 --profile smoke"),
        ("disk", disk.free, f"GiB free in {Path.cwd()}", "simulated data and runs need some hundred MiB"),
    ):  # fmt: skip
        yield Finding(topic, "ok" if free > 2 * _GIB else "note", f"{free / _GIB:.1f} {text}", advice)


def check_packages() -> Iterator[Finding]:
    """Say which versions of the kit and of what it stands on are installed, and how to get the rest."""
    system = f"Python {platform.python_version()} in {sys.prefix}, {platform.platform()}"
    yield Finding("kit", "ok", f"maunet_lite {__version__}, {system}")
    lines = ["maunet-lite"]  # unless the kit is installed, it is itself what is missing
    with suppress(metadata.PackageNotFoundError):
        lines = metadata.requires("maunet-lite")
    extras: dict[str, list[tuple[str, str]]] = defaultdict(list)  # "" for what is required
    for line in lines:
        name, extra = re.match(r"([\w.-]+)(?:.*extra == ['\"](\w+))?", line).groups("")
        version = ""
        with suppress(metadata.PackageNotFoundError):
            version = metadata.version(name)
        extras[extra].append((name, version))
    for extra, found in extras.items():
        topic, state, what = (f"[{extra}]", "note", f".[{extra}]") if extra else ("packages", "problem", ".")
        missing = [f"not installed: {name}" for name, version in found if not version]
        text = ", ".join(missing + [f"{name} {version}" for name, version in found if version])
        advice = f"pip install -c constraints.txt -e '{what}' in the folder of the kit"
        yield Finding(topic, state if missing else "ok", text, advice)


def check_speed(side: int | None = None, repeats: int = 3) -> Finding:
    """Measure the `lite` network on a square image, and say what it means for an image of a camera.

    A side of 512 pixels keeps a GPU waiting for its orders; there it is 2048 if none is given.
    """
    import numpy as np

    from maunet_lite.inference import predict, resolve_device
    from maunet_lite.network import build_model

    side = side or (2048 if resolve_device().type == "cuda" else 512)
    image = np.random.default_rng(0).integers(0, 256, (side, side), dtype=np.uint8)
    model = build_model("lite").eval()
    predict(model, image)  # the first call also prepares memory and kernels
    rate = side**2 / 1e6 / min(timeit.repeat(lambda: predict(model, image), number=1, repeat=repeats))
    text = f"lite on {resolve_device()}: {rate:.2g} megapixels per second"
    text += f" (the network alone; an image of 4 megapixels takes about {4 / rate:.2g} s)"
    return Finding("speed", "ok", text)


def format_findings(findings: list[Finding]) -> str:
    """Return the diagnosis as lines for a terminal."""
    lines = []
    for topic, state, text, advice in findings:
        start = f"{_MARKS[state]} {topic:10} "
        wrap = partial(textwrap.wrap, width=100, subsequent_indent=" " * len(start))
        lines += wrap(text, initial_indent=start)
        lines += wrap(advice if state != "ok" else "", initial_indent="→ ".rjust(len(start)))
    return "\n".join(lines)
