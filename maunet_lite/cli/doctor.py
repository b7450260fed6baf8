"""What is installed, which device is used and why, and how fast this machine is.

The question behind most reports of trouble is "is my GPU used, and why not?"; `explain_device` answers it.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import platform
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple


class Finding(NamedTuple):
    """One line of the diagnosis: `state` is "ok", "note" or "problem"; `advice` says what to do."""

    topic: str
    state: str
    text: str
    advice: str = ""


class Hardware(NamedTuple):
    """What torch and the system say about accelerators, as a plain record that tests can make up."""

    torch_version: str
    built_for: str | None  # "CUDA 13.0", "ROCm 6.4" or None
    gpus: tuple[str, ...]  # names of the devices that torch can use
    mps_built: bool
    mps_available: bool
    nvidia_driver: bool  # the program nvidia-smi is there
    visible: str | None  # the environment variable CUDA_VISIBLE_DEVICES


# import name of each package that may be missing or broken, by extra
_EXTRAS = {
    "scale": ("zarr", "ome_zarr", "dask", "distributed", "pyarrow"),
    "export": ("roifile", "shapely"),
    "timm": ("timm",),
    "dev": ("pytest", "hypothesis", "ruff", "nbstripout", "playwright"),
}
_REQUIRED = (
    *("torch", "monai", "accelerate", "safetensors"),
    *("numpy", "scipy", "scikit-image", "opencv-python-headless", "tifffile", "imagecodecs"),
    *("pandas", "scikit-learn", "matplotlib", "jupyterlab", "papermill"),
)


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
    checks: list[Callable[[], list[Finding]]] = [
        check_versions, check_device, check_threads, check_room, check_extras, check_models,
    ]  # fmt: skip
    if speed:
        checks.append(check_speed)
    return [finding for check in checks for finding in check()]


def check_versions() -> list[Finding]:
    """Return the versions of Python and of what the kit stands on."""
    from maunet_lite import __version__

    system = f"Python {platform.python_version()} in {sys.prefix}, {platform.platform()}"
    findings = [Finding("kit", "ok", f"maunet_lite {__version__}, {system}")]
    versions, missing = [], []
    for name in _REQUIRED:
        try:
            versions.append(f"{name} {importlib.metadata.version(name)}")
        except importlib.metadata.PackageNotFoundError:
            missing.append(name)
    findings.append(Finding("packages", "ok", ", ".join(versions)))
    if missing:
        advice = "pip install -c constraints.txt -e . in the folder of the kit"
        findings.append(Finding("packages", "problem", f"not installed: {', '.join(missing)}", advice))
    return findings


def check_device() -> list[Finding]:
    """Return which device `device="auto"` means on this machine, and why."""
    return explain_device(look_at_hardware())


def look_at_hardware() -> Hardware:
    """Ask torch and the system about accelerators."""
    import torch

    version = torch.version
    built_for = f"CUDA {version.cuda}" if version.cuda else f"ROCm {version.hip}" if version.hip else None
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    return Hardware(
        torch_version=torch.__version__,
        built_for=built_for,
        gpus=tuple(_gpu_name(index) for index in range(count)),
        mps_built=torch.backends.mps.is_built(),
        mps_available=torch.backends.mps.is_available(),
        nvidia_driver=shutil.which("nvidia-smi") is not None,
        visible=os.environ.get("CUDA_VISIBLE_DEVICES"),
    )


def _gpu_name(index: int) -> str:
    import torch

    properties = torch.cuda.get_device_properties(index)
    return f"{properties.name} ({properties.total_memory / 2**30:.0f} GiB)"


def explain_device(hardware: Hardware) -> list[Finding]:
    """Say which device is used, why, and what to do if it should be another.

    Examples
    --------
    >>> hardware = Hardware("2.13.0+cpu", None, (), False, False, True, None)
    >>> explain_device(hardware)[0].text
    'CPU: torch 2.13.0+cpu was built without GPU support, though this machine has an NVIDIA driver'
    """
    torch = f"torch {hardware.torch_version}"
    if hardware.gpus:
        gpus = ", ".join(hardware.gpus)
        return [Finding("device", "ok", f"GPU: {gpus}; {torch} was built for {hardware.built_for}")]
    if hardware.mps_available:
        return [Finding("device", "ok", f"GPU of this Mac (MPS); {torch} can use it")]
    if hardware.built_for is None and hardware.nvidia_driver:
        text = f"CPU: {torch} was built without GPU support, though this machine has an NVIDIA driver"
        advice = (
            "install a CUDA build of the same version: choose CUDA in the selector on PyTorch's start page"
        )
        return [Finding("device", "problem", text, advice)]
    if hardware.built_for is None:
        reason = "no GPU was found" + (", and MPS needs macOS 12.3 or newer" if hardware.mps_built else "")
        advice = "fine for lessons: the profiles smoke and quick are made for it"
        return [Finding("device", "note", f"CPU: {reason}; {torch} was built without GPU support", advice)]
    if hardware.visible is not None and not hardware.visible.strip("- 1") and hardware.nvidia_driver:
        text = f"CPU: the variable CUDA_VISIBLE_DEVICES={hardware.visible!r} hides every GPU from torch"
        return [Finding("device", "problem", text, "unset CUDA_VISIBLE_DEVICES, or set it to 0")]
    if hardware.nvidia_driver:
        text = f"CPU: {torch} was built for {hardware.built_for}, but the driver does not work with it"
        advice = (
            "run nvidia-smi: if it fails, install the driver anew; if its CUDA version is older, update it"
        )
        return [Finding("device", "problem", text, advice)]
    text = f"CPU: {torch} was built for {hardware.built_for}, but no NVIDIA driver was found"
    return [
        Finding("device", "note", text, "with a GPU in this machine: install its driver, then run this again")
    ]


def check_threads() -> list[Finding]:
    """Return how many cores there are and how many torch uses."""
    import torch

    cores, threads = os.cpu_count() or 1, torch.get_num_threads()
    limit = os.environ.get("OMP_NUM_THREADS")
    if threads < cores // 2 and limit:
        advice = "unset OMP_NUM_THREADS to use all cores"
        return [
            Finding("cores", "note", f"torch uses {threads} of {cores}: OMP_NUM_THREADS is {limit}", advice)
        ]
    return [Finding("cores", "ok", f"{cores}, torch uses {threads} threads")]


def check_room() -> list[Finding]:
    """Return memory and disk, total and free."""
    import psutil

    memory, gib = psutil.virtual_memory(), 2**30
    findings = [
        Finding("memory", "ok", f"{memory.available / gib:.1f} of {memory.total / gib:.1f} GiB free"),
    ]
    if memory.available < 2 * gib:
        advice = "close other programs, or run notebooks with --jobs 1 --profile smoke"
        findings[0] = findings[0]._replace(state="note", advice=advice)
    disk = shutil.disk_usage(Path.cwd())
    state, advice = (
        ("ok", "") if disk.free > 2 * gib else ("note", "simulated data and runs need some hundred MiB")
    )
    findings.append(Finding("disk", state, f"{disk.free / gib:.1f} GiB free in {Path.cwd()}", advice))
    return findings


def check_extras() -> list[Finding]:
    """Return which optional parts are installed, and how to get the others."""
    findings = []
    for extra, modules in _EXTRAS.items():
        missing = [module for module in modules if importlib.util.find_spec(module) is None]
        if missing:
            advice = f'pip install -c constraints.txt -e ".[{extra}]"'
            findings.append(Finding(f"[{extra}]", "note", f"not installed: {', '.join(missing)}", advice))
        else:
            findings.append(Finding(f"[{extra}]", "ok", "installed"))
    return findings


def check_models() -> list[Finding]:
    """Return which weights come with the package."""
    from maunet_lite.network import WEIGHTS, shipped_models

    names = shipped_models()
    if not names:
        return [
            Finding(
                "models", "problem", "no weights in the package", "install the kit anew, or train your own"
            )
        ]
    sizes = [f"{name} ({(WEIGHTS / f'{name}.safetensors').stat().st_size / 1e6:.1f} MB)" for name in names]
    return [Finding("models", "ok", ", ".join(sizes))]


def check_speed(side: int = 512, repeats: int = 3) -> list[Finding]:
    """Measure the `lite` network on a square image, and say what it means for an image of a camera."""
    import numpy as np

    from maunet_lite.inference import predict, resolve_device
    from maunet_lite.network import build_model

    image = np.random.default_rng(0).integers(0, 256, (side, side), dtype=np.uint8)
    model = build_model("lite").eval()
    predict(model, image)  # the first call also prepares memory and kernels
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        predict(model, image)
        seconds.append(time.perf_counter() - start)
    rate = side * side / 1e6 / min(seconds)
    text = f"lite on {resolve_device()}: {rate:.2g} megapixels per second"
    text += f" (the network alone; an image of 4 megapixels takes about {4 / rate:.2g} s)"
    return [Finding("speed", "ok", text)]


def format_findings(findings: list[Finding], width: int = 100) -> str:
    """Return the diagnosis as lines for a terminal."""
    import textwrap

    marks = {"ok": "✔", "note": "·", "problem": "✘"}
    lines = []
    for finding in findings:
        head = f"{marks[finding.state]} {finding.topic:10} "
        lines += textwrap.wrap(
            finding.text, width, initial_indent=head, subsequent_indent=" " * len(head)
        ) or [head]
        if finding.advice:
            lines += textwrap.wrap(
                finding.advice,
                width,
                initial_indent=" " * (len(head) - 2) + "→ ",
                subsequent_indent=" " * len(head),
            )
    return "\n".join(lines)
