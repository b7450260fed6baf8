"""What the exported formats of a network cost: megabytes, and seconds of one CPU core beside torch's.

    python -m benchmarks.sharing [--model lite] [--side 1024]

Needs the extra ``[share]``, so it is no part of ``make bench``. Formats take turns, and seconds are those in
which the processor worked, so that other work on the machine disturbs them little; the least of several turns
counts. `maunet_lite.inference` folds normalisations into convolutions: that is what files are held against.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from maunet_lite.export import export_model
from maunet_lite.inference import prepare
from maunet_lite.network import find_checkpoint, load_model


def main() -> None:
    """Export, run in turns, print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default="lite")
    parser.add_argument("--side", type=int, default=1024, help="of the image in pixels")
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--quick", action="store_true", help="a small image, once: does it run?")
    options = parser.parse_args()
    if options.quick:
        options.side, options.turns = 128, 1
    torch.set_num_threads(1)
    import onnxruntime

    with tempfile.TemporaryDirectory() as folder:
        files = {kind: export_model(options.model, kind, folder)[0] for kind in ("torchscript", "onnx")}
        settings = onnxruntime.SessionOptions()
        settings.intra_op_num_threads = settings.inter_op_num_threads = 1
        session = onnxruntime.InferenceSession(files["onnx"], settings, providers=["CPUExecutionProvider"])
        script, network = torch.jit.load(files["torchscript"]), load_model(options.model)
        kit = prepare(network, torch.device("cpu"))
        runs = {
            "this kit": lambda x: kit(torch.from_numpy(x)),
            "onnx": lambda x: session.run(None, {"image": x}),
            "torchscript": lambda x: script(torch.from_numpy(x)),
        }
        image = np.random.default_rng(0).uniform(0.01, 0.99, (1, 3, options.side, options.side))
        seconds: dict[str, list[float]] = {name: [] for name in runs}
        with torch.inference_mode():
            for _ in range(options.turns):
                for name, run in runs.items():
                    started = time.process_time()
                    run(image.astype(np.float32))
                    seconds[name].append(time.process_time() - started)
        sizes = {"this kit": find_checkpoint(options.model), **files}
        table = pd.DataFrame(
            {
                "MB": {name: round(Path(file).stat().st_size / 1e6, 1) for name, file in sizes.items()},
                "s / megapixel": {n: round(min(s) / options.side**2 * 1e6, 2) for n, s in seconds.items()},
            }
        )
    table["beside torch"] = (table["s / megapixel"] / table.loc["this kit", "s / megapixel"]).round(2)
    print(table.to_string())


if __name__ == "__main__":
    main()
