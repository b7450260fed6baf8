"""StarDist, Cellpose and InstanSeg beside this kit: the same images, the same scorer, one run.

    python -m benchmarks.peers --data FOLDER [--minutes 10] [--stardist PYTHON] [--cellpose PYTHON]
        [--instanseg PYTHON]

They live in environments of their own, because they want other versions of much that the kit needs. Make them
once and name their interpreters:

    python -m venv peer-stardist && peer-stardist/bin/pip install stardist tensorflow-cpu
    python -m venv peer-cellpose && peer-cellpose/bin/pip install "cellpose>=4"
    python -m venv peer-instanseg && peer-instanseg/bin/pip install instanseg-torch

StarDist is trained from scratch for ``--minutes`` on the training images, as `lite` is, each on one and the
same CPU core, `lite` by the recipe `lite-plain`; its thresholds are looked up on the validation images, as
`lite`'s post-processing was. With ``--published`` the weights that the makers offer (``2D_versatile_fluo``,
``cpsam``, ``fluorescence_nuclei_and_cells``) are scored too: the packages download them, ``cpsam`` is a
gigabyte. The last two are not trained: Cellpose's network is too slow for minutes on a CPU to be fair, and
InstanSeg has no trainer for a folder of images. What cannot be had is named below the table, with the reason.

A peer that is not at hand is left out, and the report says so. The table goes to
``benchmarks/results/peers.csv``.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd

from benchmarks.training_runs import (
    commit,
    refuse_other_data,
    training_parser,
    use_temporary_folder,
    write_table,
)
from maunet_lite.data import CellDataset, load_dataset
from maunet_lite.evaluation import baseline, evaluate, evaluate_folder, summary
from maunet_lite.network import load_model, read_record

RESULTS = Path(__file__).parent / "results" / "peers.csv"
PUBLISHED = {
    "stardist": "2D_versatile_fluo", "cellpose": "cpsam", "instanseg": "fluorescence_nuclei_and_cells",
}  # fmt: skip
WORKERS = {name: Path(__file__).with_name(f"peer_{name}.py") for name in PUBLISHED}
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "TF_NUM_INTRAOP_THREADS")


def on_one_core(command: list[str | Path], log: Path) -> None:
    """Run a command on one CPU core and with one thread, its output in a file.

    Raises
    ------
    RuntimeError
        If it fails; with the end of its output.
    """
    core = {min(os.sched_getaffinity(0))} if hasattr(os, "sched_getaffinity") else set()
    one_thread = dict.fromkeys(THREADS, "1") | {"TF_NUM_INTEROP_THREADS": "1"}
    start = (lambda: os.sched_setaffinity(0, core)) if core else None
    with log.open("w", encoding="utf-8") as file:
        done = subprocess.run(
            [str(part) for part in command], env=os.environ | one_thread, preexec_fn=start,  # noqa: PLW1509
            stdout=file, stderr=subprocess.STDOUT, check=False,
        )  # fmt: skip
    if done.returncode:
        end = log.read_text(encoding="utf-8", errors="replace")[-2000:]
        raise RuntimeError(f"{' '.join(map(str, command))} failed with exit code {done.returncode}:\n{end}")


def train_lite(options: argparse.Namespace) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Train `lite` from scratch for the same minutes, and score it."""
    run = options.out / f"lite-{options.minutes:g}-minutes"
    if not (run / "last.json").exists():
        command = [sys.executable, "-m", "maunet_lite.cli", "train", "--preset", "lite-plain"]
        command += ["--data", options.data]
        command += ["--minutes", options.minutes, "--device", options.device, "--out", run]
        for setting in (f"precision={options.precision}", "validate_every=0", "validation_images=1"):
            command += ["--set", setting]
        on_one_core(command, options.out / "lite.log")
    record = read_record(run / "last.safetensors")["record"]
    table = evaluate(run / "last.safetensors", options.data, "val", device=options.device, progress=False)
    parameters = sum(p.numel() for p in load_model(run / "last.safetensors").parameters())
    about = {"minutes": round(record["minutes"], 1), "steps": record["steps"], "parameters": parameters}
    return table, about | {"version": commit(), "precision": options.precision}


def run_peer(
    name: str, python: str, data: CellDataset, options: argparse.Namespace, weights: str | None
) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Let a peer train (or load `weights`) and segment in its own environment, then score its label maps."""
    out = (options.out / f"{name}-{weights or f'{options.minutes:g}-minutes'}").absolute()
    if not (out / "about.json").exists():
        out.mkdir(parents=True, exist_ok=True)
        train, val = data.split("train").labelled(), data.split("val").labelled()
        job = {
            "train": [[str(train.image_path(k)), str(train.label_path(k))] for k in range(len(train))],
            "val": [[str(val.image_path(k)), str(val.label_path(k))] for k in range(len(val))],
            "weights": weights, "minutes": options.minutes, "seed": 0, "out": str(out),
        }  # fmt: skip
        (out / "job.json").write_text(json.dumps(job), encoding="utf-8")
        on_one_core([python, WORKERS[name], out / "job.json"], out / "worker.log")
    about = json.loads((out / "about.json").read_text(encoding="utf-8"))
    return evaluate_folder(out / "labels", data, "val", progress=False), about


def main() -> None:
    """Score all that is at hand, print the table and what is missing."""
    parser = training_parser(__doc__, RESULTS, "runs/peers")
    parser.add_argument("--minutes", type=float, default=10.0, help="of training, each")
    parser.add_argument("--stardist", metavar="PYTHON", help="interpreter of an environment with StarDist")
    parser.add_argument("--cellpose", metavar="PYTHON", help="interpreter of an environment with Cellpose 4")
    parser.add_argument("--instanseg", metavar="PYTHON", help="interpreter of an environment with InstanSeg")
    parser.add_argument("--published", action="store_true", help="score the makers' weights too")
    options = parser.parse_args()
    if options.quick:
        options.minutes = 0.05
        use_temporary_folder(options)
    refuse_other_data(options, RESULTS)
    data = load_dataset(options.data)
    options.data, given = str(data.folder), {name: getattr(options, name) for name in PUBLISHED}
    options.out.mkdir(parents=True, exist_ok=True)

    rows: dict[str, tuple[pd.DataFrame, dict[str, Any]]] = {
        "Otsu + watershed": (baseline(data, "val", progress=False), {"minutes": 0.0, "version": commit()})
    }
    missing = []
    rows[f"lite, {options.minutes:g} minutes"] = train_lite(options)
    if options.stardist:
        rows[f"StarDist, {options.minutes:g} minutes"] = run_peer(
            "stardist", options.stardist, data, options, None
        )
    for name, weights in PUBLISHED.items():
        if not given[name]:
            missing.append(f"{name}: no environment given (--{name} PYTHON; --help says how to make one)")
        elif options.published:
            try:
                rows[f"{name} {weights}"] = run_peer(name, given[name], data, options, weights)
            except RuntimeError as problem:
                missing.append(f"{name} {weights}: {problem}")
        else:
            missing.append(f"{name} {weights}: not asked for (--published)")

    lines = []
    for name, (table, about) in rows.items():
        scores = summary(table)
        f1 = scores["mean_f1"].round(4).add_prefix("f1_").to_dict()
        pooled = {f"pooled_{kind}": round(f, 4) for kind, f in scores["pooled_f1"].items()}
        lines.append({"method": name, **f1, **pooled, **about})
    frame = pd.DataFrame(lines)
    write_table(frame, options.results)
    frame["ratio"] = (frame["f1_all"] / frame["f1_all"].iloc[1]).round(2)
    print(frame.set_index("method").round(3).T.to_string())
    print("\nF1 on the validation images; ratio: to lite. Not measured here:")
    print("\n".join(f"- {line}" for line in missing) or "- nothing is missing")
    print(f"table: {options.results}")


if __name__ == "__main__":
    main()
