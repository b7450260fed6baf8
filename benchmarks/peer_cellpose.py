"""Cellpose 3 in its own environment: load weights, segment. For `benchmarks.peers`.

    PYTHON peer_cellpose.py job.json

Runs where the kit is not installed, so it imports nothing of it. The job is that of ``peer_stardist.py``;
``weights`` is the name of a model of Cellpose (with its network for the size of cells) or a file.
"""

from __future__ import annotations

import json
import sys
from importlib.metadata import version
from pathlib import Path

import numpy as np
import tifffile
from cellpose import models
from cellpose.io import imread

GREY = [0, 0]  # channels to segment: the mean of all, no separate nuclei


def main() -> None:
    """Do the job; `about.json` is written last."""
    job = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    if job["weights"] is None:
        raise SystemExit("weights: null, expected a model such as cyto3, or a file; nothing is trained here")
    out = Path(job["out"])
    (out / "labels").mkdir(exist_ok=True)
    if Path(job["weights"]).is_file():
        model = network = models.CellposeModel(gpu=False, pretrained_model=job["weights"])
    else:
        model = models.Cellpose(gpu=False, model_type=job["weights"])
        network = model.cp
    parameters = sum(p.numel() for p in network.net.parameters())  # eval moves them to oneDNN
    for path, _ in job["val"]:
        cells = model.eval(imread(path), channels=GREY, diameter=None)[0]
        tifffile.imwrite(out / "labels" / f"{Path(path).stem}_label.tiff", cells.astype(np.int32))
    (out / "about.json").write_text(json.dumps({"parameters": parameters, "version": version("cellpose")}))


if __name__ == "__main__":
    main()
