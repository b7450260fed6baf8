"""InstanSeg in its own environment: load weights, segment. For `benchmarks.peers`.

    PYTHON peer_instanseg.py job.json

Runs where the kit is not installed, so it imports nothing of it. The job is that of ``peer_stardist.py``;
``weights`` is the name of a model that InstanSeg downloads, such as ``fluorescence_nuclei_and_cells``. It
wants images at 0.5 µm a pixel; the size of a pixel is not known here, so they go in as they are.
"""

from __future__ import annotations

import json
import sys
from importlib.metadata import version
from pathlib import Path

import numpy as np
import tifffile
import torch
from instanseg import InstanSeg
from skimage.io import imread


def main() -> None:
    """Do the job; `about.json` is written last."""
    job = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    if job["weights"] is None:
        raise SystemExit("weights: null, expected the name of a model; nothing is trained here")
    out = Path(job["out"])
    (out / "labels").mkdir(exist_ok=True)
    try:
        model = InstanSeg(job["weights"], device="cpu", verbosity=0)
    except Exception as error:  # what a download raises is the business of its library
        raise SystemExit(f"the weights {job['weights']} cannot be had here: {error}") from error
    for path, _ in job["val"]:
        image = imread(path)
        image = np.repeat(image[..., None], 3, axis=2) if image.ndim == 2 else image[..., :3]
        with torch.inference_mode():
            cells = model.eval_small_image(image, target="cells", return_image_tensor=False)
        cells = np.asarray(cells.cpu()).astype(np.int32).reshape(-1, *image.shape[:2])[-1]
        tifffile.imwrite(out / "labels" / f"{Path(path).stem}_label.tiff", cells)
    parameters = sum(p.numel() for p in model.instanseg.parameters())
    (out / "about.json").write_text(
        json.dumps({"parameters": parameters, "version": version("instanseg-torch")})
    )


if __name__ == "__main__":
    main()
