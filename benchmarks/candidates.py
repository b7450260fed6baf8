"""Designs of the `lite` network at an equal budget of minutes: which one learns most on a small machine?

    python -m benchmarks.candidates --data FOLDER [--minutes 3] [--out runs/candidates]

Each candidate tries one idea: depth, widths, where full resolution begins, normalisation, blocks per stage;
where an idea costs parameters, channels make room for it. All train by the recipe `lite-plain` for the same
wall-clock time, one after another, on the same cores (nothing else should run), and are scored on the
validation split. The table goes to ``benchmarks/results/lite_candidates.csv``. What is done is not done
again.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from benchmarks.training_runs import (
    commit,
    refuse_other_data,
    trained,
    training_parser,
    use_temporary_folder,
    write_table,
)
from maunet_lite.evaluation import evaluate, summary
from maunet_lite.network import build_model, read_record
from maunet_lite.training import RECIPES

RESULTS = Path(__file__).parent / "results" / "lite_candidates.csv"
LIMIT = 3_000_000  # parameters

# name: (what is different, fields of ModelConfig)
CANDIDATES: dict[str, tuple[str, dict[str, Any]]] = {
    "lite": ("the shipped design: 5 stages, half resolution, batch norm", {}),
    "narrow": (
        "two thirds of the channels",
        {"encoder": "lite:16-32-64-96-128", "widths": (0, 12, 24, 48, 64, 96)},
    ),
    "wide-decoder": ("decoders twice as wide near the surface", {"widths": (0, 32, 48, 64, 80, 96)}),
    "shallow-wide": (
        "4 stages with more channels each",
        {"encoder": "lite:32-64-128-256", "widths": (0, 16, 32, 64, 128)},
    ),
    "deep": (
        "6 stages down to a 64th",
        {"encoder": "lite:16-32-64-96-128-160", "widths": (0, 16, 32, 48, 64, 96, 96)},
    ),
    "two-blocks": (
        "two blocks per stage, fewer channels",
        {"encoder": "lite:16-32-64-96-144x2", "widths": (0, 16, 32, 64, 80, 96)},
    ),
    "full-resolution": ("a decoder block at full resolution", {"widths": (16, 16, 32, 64, 96, 128)}),
    "instance-norm": ("instance norm in skips and decoders, as in the paper", {"norm": "instance"}),
}


def parameters(fields: dict[str, Any]) -> int:
    """Return the number of trainable parameters of a candidate."""
    return sum(p.numel() for p in build_model("lite", **fields).parameters())


def training_seconds(fields: dict[str, Any], patch: int = 256, batch: int = 8, repeats: int = 3) -> float:
    """Return seconds per megapixel of a forward and backward pass, the best of some."""
    model = build_model("lite", **fields).to(memory_format=torch.channels_last)
    x = torch.rand(batch, 3, patch, patch).contiguous(memory_format=torch.channels_last)
    best = float("inf")
    for _ in range(repeats):
        started = time.perf_counter()
        output = model(x)
        (output.logits.square().mean() + output.distance.square().mean()).backward()
        best = min(best, time.perf_counter() - started)
    return best / (batch * patch * patch / 1e6)


def train_candidate(name: str, options: argparse.Namespace) -> pd.DataFrame:
    """Train and score one candidate, or read what was measured before."""
    done = options.out / f"{name}.csv"
    if done.exists():
        return pd.read_csv(done)
    what, fields = CANDIDATES[name]
    seconds = training_seconds(fields)
    config = RECIPES["lite-plain"].override(
        data=options.data, minutes=options.minutes, network=fields, device=options.device, validate_every=0,
        validation_images=1, precision=options.precision, seed=options.seed, out=str(options.out / name),
    )  # fmt: skip
    weights = trained(config)
    steps = read_record(weights)["record"]["steps"]
    table = evaluate(weights, options.data, "val", device=options.device)
    scores = summary(table)["mean_f1"].round(3).add_prefix("f1_")
    row = {
        "candidate": name, "what": what, "parameters": parameters(fields),
        "training_s_per_mp": round(seconds, 3), "minutes": options.minutes, "steps": steps, **scores,
        "seconds_per_image": round(float(table["seconds"].mean()), 3), "precision": options.precision,
        "threads": torch.get_num_threads(), "commit": commit(),
    }  # fmt: skip
    write_table(pd.DataFrame([row]), done)
    return pd.read_csv(done)


def main() -> None:
    """Train all candidates, one after another, and print the table with ratios to the shipped design."""
    parser = training_parser(__doc__, RESULTS, "runs/candidates")
    parser.add_argument("--minutes", type=float, default=3.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--names", nargs="+", default=list(CANDIDATES), choices=list(CANDIDATES))
    options = parser.parse_args()
    if options.quick:
        options.minutes, options.names = 0.05, ["lite", "narrow"]
        use_temporary_folder(options)
    refuse_other_data(options, RESULTS)
    for name in options.names:
        if (count := parameters(CANDIDATES[name][1])) > LIMIT:
            parser.error(f"candidate {name} has {count:,} parameters, at most {LIMIT:,} are allowed")
    table = pd.concat([train_candidate(name, options) for name in options.names], ignore_index=True)
    if set(options.names) == set(CANDIDATES):
        write_table(table, options.results)
    shown = table.drop(columns=["what", "commit"]).set_index("candidate")
    shown["f1_ratio"] = (shown["f1_all"] / shown["f1_all"].iloc[0]).round(3)
    print(shown.to_string())


if __name__ == "__main__":
    main()
