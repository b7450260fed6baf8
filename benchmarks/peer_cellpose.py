"""Cellpose 4 in its own environment: load weights, segment. For `benchmarks.peers`.

    PYTHON peer_cellpose.py job.json

Runs where the kit is not installed, so it imports nothing of it. The job is that of ``peer_stardist.py``;
``weights`` is the name of a model of Cellpose (``cpsam``: a gigabyte, fetched by Cellpose itself) or a file.
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


def main() -> None:
    """Do the job; `about.json` is written last."""
    job = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    if job["weights"] is None:
        raise SystemExit("weights: null, expected a model such as cpsam, or a file; nothing is trained here")
    if int(version("cellpose").split(".")[0]) < 4:
        raise SystemExit(f"Cellpose {version('cellpose')} has another API: install cellpose>=4")
    out = Path(job["out"])
    (out / "labels").mkdir(exist_ok=True)
    try:
        model = models.CellposeModel(gpu=False, pretrained_model=job["weights"])
    except OSError as error:  # no connection, or no such file
        raise SystemExit(f"the weights {job['weights']} cannot be had here: {error}") from error
    parameters = sum(p.numel() for p in model.net.parameters())
    for path, _ in job["val"]:
        cells = model.eval(imread(path), diameter=None)[0]
        tifffile.imwrite(out / "labels" / f"{Path(path).stem}_label.tiff", cells.astype(np.int32))
    (out / "about.json").write_text(json.dumps({"parameters": parameters, "version": version("cellpose")}))


if __name__ == "__main__":
    main()
