"""Run the quick form of every benchmark and write one report: ``make bench`` or ``python -m benchmarks``.

Each benchmark prints its peer in the same run; only the ratios travel to other machines. The report says on
what machine and with which versions it was made.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import platform
import subprocess
import sys
import time
from importlib.metadata import version
from pathlib import Path

# name of the benchmark: options of its quick form
QUICK: dict[str, list[str]] = {
    "targets": ["--quick"],
    "network": ["--quick"],
    "postprocessing": [],
    "metrics": [],
    "simulation": ["--quick"],
    "patches": ["--quick"],
    "training": ["--quick"],
    "tune_postprocessing": ["--quick"],
    "size": ["--images", "3"],
    "calibration": ["--quick"],
    "doubt": ["--quick"],
    "scale": ["--quick"],
    "growth": ["--quick"],
    "candidates": ["--quick"],
    "semi_supervised": ["--quick"],
    "finetuning": ["--quick"],
    "ablation": ["--quick"],
    "unseen": ["--quick"],
    "peers": ["--quick"],
}


def machine() -> str:
    """Describe what the numbers were measured on."""
    import torch

    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else "no GPU"
    packages = ", ".join(f"{name} {version(name)}" for name in ("torch", "numpy", "opencv-python-headless"))
    cores = f"{os.cpu_count()} CPU cores ({platform.machine()})"
    return f"{cores}, {gpu}; Python {platform.python_version()}, {packages}"


def run(name: str) -> tuple[str, bool]:
    """Run one benchmark; return its section of the report and whether it ended well."""
    command = [sys.executable, "-m", f"benchmarks.{name}", *QUICK[name]]
    started = time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    seconds = time.perf_counter() - started
    text = done.stdout if done.returncode == 0 else f"{done.stdout}\nFAILED:\n{done.stderr[-3000:]}"
    shown = " ".join(["python -m", f"benchmarks.{name}", *QUICK[name]])
    return f"## {name}\n\n`{shown}`, {seconds:.0f} s\n\n```\n{text.strip()}\n```\n", done.returncode == 0


def main() -> int:
    """Run what was asked for and write the report."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help=f"some of: {', '.join(QUICK)} (default: all)"
    )
    parser.add_argument("--out", type=Path, default=Path("out/benchmarks.md"))
    options = parser.parse_args()
    if unknown := set(options.names) - set(QUICK):
        parser.error(f"no benchmark {', '.join(sorted(unknown))}; there are: {', '.join(QUICK)}")
    names = options.names or [n for n in QUICK if importlib.util.find_spec(f"benchmarks.{n}")]
    sections, failed = [f"# Benchmarks\n\n{machine()}\n"], []
    for name in names:
        section, well = run(name)
        print(section, flush=True)
        sections.append(section)
        failed += [] if well else [name]
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text("\n".join(sections), encoding="utf-8")
    print(f"report: {options.out}" + (f"; FAILED: {', '.join(failed)}" if failed else ""))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
