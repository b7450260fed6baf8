"""Write the tables of README.md and docs/results.md, and the learning curves, from the benchmarks' CSV files.

    python -m benchmarks.results_tables [--check]

A table stands between ``<!-- table:NAME -->`` and ``<!-- /table -->``; nobody types its numbers. ``--check``
changes nothing and fails if a table is not what its CSV says; a test does the same.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Callable
from pathlib import Path

import pandas as pd

from maunet_lite.course.figures import ablation
from maunet_lite.course.figures.scores import learning_curve, plot_learning_curves
from maunet_lite.data import atomic_path

ROOT = Path(__file__).parents[1]
RESULTS = Path(__file__).parent / "results"
DEFAULTS = "the kit's defaults"
LEFT_OUT = {"f1": "F1", "f1_auto": "F1, size estimated", "f1_val": "F1 on validation images of the others"}
CURVES = ROOT / "docs" / "learning_curves.png"
PAGES = ("README.md", "docs/results.md", "docs/differences.md")
MARKED = re.compile(r"(<!-- table:([\w-]+) -->\n).*?(<!-- /table -->)", re.DOTALL)


def markdown(frame: pd.DataFrame) -> str:
    """Return a Markdown table with the index as its first column; numbers to the right.

    Examples
    --------
    >>> print(markdown(pd.DataFrame({"F1": [0.5]}, index=["lite"])))
    | | F1 |
    |---|---:|
    | lite | .500 |
    """
    if frame.empty:
        return "*No rows yet; the command above makes them.*"
    names = [" ".join(filter(None, name)) if isinstance(name, tuple) else str(name) for name in frame]
    lines = ["| | " + " | ".join(names) + " |", "|---|" + "---:|" * len(names)]
    lines += [
        f"| {cell(name)} | " + " | ".join(map(cell, row)) + " |"
        for name, row in zip(frame.index, frame.to_numpy(dtype=object), strict=True)
    ]
    return "\n".join(lines)


def cell(value: object) -> str:
    """Write a value: scores with three digits and no leading zero, NaN as a dash."""
    if isinstance(value, tuple):  # an index of several levels
        return ", ".join(map(cell, value))
    if isinstance(value, float):
        if pd.isna(value):
            return "–"
        text = f"{value:.3f}" if abs(value) < 10 else f"{value:,.0f}"
        return text.removeprefix("0") if 0 <= value < 1 else text
    return f"{value:,}" if isinstance(value, int) else str(value)


def candidates() -> pd.DataFrame:
    """Designs of the lite network at an equal budget of minutes."""
    table = pd.read_csv(RESULTS / "lite_candidates.csv", index_col="candidate")
    columns = {
        "what": "what is different", "parameters": "parameters", "training_s_per_mp": "s/MP, training",
        "steps": "steps", "f1_all": "F1", "f1_fluorescence": "fluorescence", "f1_brightfield": "brightfield",
        "f1_dic": "DIC", "f1_phase-contrast": "phase contrast",
    }  # fmt: skip
    return table[list(columns)].rename(columns=columns)


def finetuning() -> pd.DataFrame:
    """Fine-tuning on ten images of a source that was left out."""
    table = pd.read_csv(RESULTS / "finetuning.csv", index_col="network")
    columns = {"mean_f1": "F1", "mean_f1_plain": "F1 without post-processing", "mean_dice": "Dice"}
    return table[list(columns)].rename(columns=columns)


def semi_supervised() -> pd.DataFrame:
    """Consistency regularization against supervised training, at several shares of labels."""
    table = pd.read_csv(RESULTS / "semi_supervised.csv").rename(columns=lambda name: name.removeprefix("f1_"))
    groups = table.groupby(["labelled_fraction", "method"])
    shown = groups["steps"].first().to_frame()
    f1 = groups["all"].agg(["mean", "std"]).to_numpy(dtype=float)
    shown["F1"] = [ablation.plus_minus(*pair) for pair in f1]
    shown["least"] = groups["all"].min()
    for modality in ("brightfield", "dic", "fluorescence", "phase-contrast"):
        shown[modality] = groups[modality].mean()
    shown["seeds"] = groups.size().map(str)
    return shown.set_axis([f"{method}, {share:.0%} of the labels" for share, method in shown.index])


def postprocessing() -> pd.DataFrame:
    """Named settings of the post-processing on the maps of the shipped weights."""
    return pd.read_csv(RESULTS / "postprocessing_settings.csv", index_col="setting").head(
        4
    )  # those with names


def scale(file: str = "scale.csv") -> pd.DataFrame:
    """Seconds and memory at the sizes of the paper's Table 6."""
    from benchmarks.scale import PAPER

    table = pd.read_csv(RESULTS / file, index_col="size")
    if "stand_in" in table:  # a trained network answered for untrained ones
        table["total"] -= table["stand_in"].fillna(0)
    stages = ["start", "read", "network", "postprocessing", "write", "total"]
    memory = {"ram_mib": "RAM / MiB"} | ({"gpu_mib": "GPU / MiB"} if table["gpu_mib"].notna().all() else {})
    table = table[["cells", *stages, *memory]].rename(columns={name: f"{name} / s" for name in stages})
    table["paper / s"] = [PAPER[size][0] for size in table.index]
    table["without the start / paper"] = (table["total / s"] - table["start / s"]) / table["paper / s"]
    if "gpu_mib" in memory:
        table["paper GPU / MiB"] = [PAPER[size][1] for size in table.index]
    return table.rename(columns=memory)


def sizes(what: str) -> pd.DataFrame:
    """F1 as images are and at the size that is estimated: by modality, or zoomed."""
    table = pd.read_csv(RESULTS / "size.csv", dtype={"group": str}).query("what == @what")
    ways = [way for way in ("as it is", "auto", "true diameter") if way in set(table["way"])]
    shown = table.pivot_table(index="group", columns="way", values="f1", sort=False)[ways]
    return shown if what == "modality" else shown.T


def course_gpu() -> pd.DataFrame:
    """Minutes and memory of each notebook in the profile `gpu`; what the GPU holds is of all that run."""
    table = pd.read_csv(RESULTS / "course_gpu.csv", index_col="notebook")
    return table.set_axis(["minutes", "RAM / MiB", "GPU, all / MiB"], axis=1)


def curve(table: str) -> pd.DataFrame:
    """F1 over labelled images or over the length of the training, and over the modalities."""
    frame = ablation.load()
    found = learning_curve(frame, table)
    shown = pd.DataFrame(index=found.index.rename(None))
    if found.empty:
        return shown
    shown["minutes"] = found["minutes"].map("{:.1f}".format)
    shown["F1"] = [ablation.plus_minus(*pair) for pair in found[["mean", "sd"]].to_numpy(dtype=float)]
    for modality in sorted(set(frame["modality"]) - {"all"}):
        shown[modality] = learning_curve(frame, table, modality)["mean"]
    shown["seeds"] = found["seeds"].map(str)
    return shown.rename(index=lambda amount: f"{amount} {found.index.name}")


def peers() -> pd.DataFrame:
    """This kit, StarDist and Otsu + watershed, trained for the same minutes on the same core."""
    path = RESULTS / "peers.csv"
    if not path.exists():
        return pd.DataFrame()
    table = pd.read_csv(path, index_col="method")
    f1 = {name: name.removeprefix("f1_") for name in table if name.startswith("f1_") and name != "f1_all"}
    table["steps"] = [f"{steps:,.0f}" if steps > 0 else "–" for steps in table["steps"]]
    shown = table[["minutes", "steps", "f1_all", *f1, "pooled_fluorescence"]].rename(
        columns={"f1_all": "F1", **f1}
    )
    shown["minutes"] = shown["minutes"].map("{:.0f}".format)
    return shown.rename(columns={"pooled_fluorescence": "fluorescence, pooled"})


def scores() -> pd.DataFrame:
    """The shipped weights beside the baseline, modality by modality."""
    frame = ablation.load()
    frame = frame[frame["table"] == "7"].set_index(["variant", "modality"])
    ours, theirs = frame.loc["shipped lite"], frame.loc["Otsu + watershed"]
    table = pd.DataFrame(
        {
            "images": ours["images"].astype(int),
            "Otsu + watershed": theirs["mean_f1"],
            "lite, no post-processing": ours["mean_f1_plain"],
            "lite": ours["mean_f1"],
            "lite, pooled over cells": ours["pooled_f1"],
        }
    )
    return table.reindex(sorted(table.index, key=lambda name: (name == "all", name)))


def differences() -> pd.DataFrame:
    """F1 with the paper's or the authors' variant of a target in place of the kit's default."""
    frame = ablation.load()
    if not frame["table"].eq("differences").any():
        return frame.iloc[:0]
    default = frame[frame["variant"] == "A, one scale"].assign(variant=DEFAULTS, table="differences")
    frame = pd.concat([default, frame])
    sums = ablation.spread(frame, "differences")
    sums = sums.loc[sorted(sums.index, key=lambda name: (name != DEFAULTS, name))]
    shown = pd.DataFrame(index=sums.index.rename(None))
    shown["F1"] = sums["text"]
    by_modality = ablation.by_modality(frame, "differences").drop(columns="all")
    shown = shown.join(by_modality)
    gains = ablation.paired_gains(frame, "differences", against=DEFAULTS)
    verdicts = {name: ablation.verdict(gains[name]) for name in gains}
    shown["against the defaults"] = [verdicts.get(name, "–") for name in shown.index]
    return shown.assign(seeds=sums["seeds"].map(str))


def unseen() -> pd.DataFrame:
    """F1 on real images after training on simulated ones alone, with and without the proxy."""
    pairs = ablation.unseen(ablation.load())
    shown = pd.DataFrame()
    for modality, part in pairs.groupby(level="modality", sort=False):
        for name in ("proxy", "no proxy"):
            shown.loc[modality, name] = ablation.plus_minus(part[name].mean(), part[name].std())
        shown.loc[modality, "gain"] = f"{part['gain'].mean():+.3f}, {ablation.verdict(part['gain'])}"
        shown.loc[modality, "seeds"] = str(len(part))
    return shown


def left_out() -> pd.DataFrame:
    """F1 on sources that were not trained on, in the mean over them, for every way to train."""
    means, about = _means_left_out(), _left_out().groupby("variant")
    shown = pd.DataFrame({"steps": about["steps"].first().map("{:,}".format)})
    for score, name in LEFT_OUT.items():
        runs = means[score].groupby("variant")
        shown[name] = [ablation.plus_minus(run.mean(), run.std()) for _, run in runs]
    shown["seeds"] = about["seed"].nunique().map(str)
    order = means["f1_auto"].groupby("variant").mean().sort_values(ascending=False).index
    return shown.loc[order].rename_axis(None)


def left_out_gains() -> pd.DataFrame:
    """What each way to train that has several seeds gains over `lite`, seed by seed, and what that shows."""
    means, shown = _means_left_out(), {}
    for score, name in LEFT_OUT.items():
        runs = means[score].unstack("variant")
        gains = runs.sub(runs["lite"], axis=0).drop(columns="lite").dropna(axis=1, thresh=2)
        shown[name] = {way: f"{gains[way].mean():+.3f}, {ablation.verdict(gains[way])}" for way in gains}
    return pd.DataFrame(shown)


def left_out_sources() -> pd.DataFrame:
    """F1 on each source of networks that were not trained on it, the size of its cells estimated."""
    table = _left_out()
    table = table[~table["variant"].str.contains("lite without ")]
    shown = table.pivot_table(index="source", columns="variant", values="f1_auto")
    shown.insert(0, "images", table.groupby("source")["images"].first().map(str))
    return shown.rename_axis(index=None, columns=None)


def _means_left_out() -> pd.DataFrame:
    """Return the mean scores over the sources, by variant and seed."""
    groups = _left_out().groupby(["variant", "seed"])
    table = groups[["f1", "f1_auto"]].mean()
    table["f1_val"] = groups["f1_val"].agg(lambda values: values.drop_duplicates().mean())  # one per training
    return table


def _left_out() -> pd.DataFrame:
    """Read what `benchmarks.unseen` wrote, with the variants' names spelled out."""
    names = ("unseen", "unseen_other_start", "unseen_from_nothing")
    tables = [pd.read_csv(RESULTS / f"{name}.csv") for name in names]
    tables[1]["seed"] += 10  # the same seeds, from another start
    tables[2]["start"] = ", from nothing"
    table = pd.concat(tables, ignore_index=True).fillna({"start": ""})
    names = table["variant"].replace({"lite+extra": "lite and simulated", "simulated": "simulated alone"})
    names = names.replace(r"^lite-(?!noproxy)(\w+)", r"lite without \1", regex=True) + table["start"]
    return table.assign(variant=names.str.replace("-noproxy", ", no proxy"))


TABLES: dict[str, Callable[[], pd.DataFrame]] = {
    "4": lambda: ablation.table4(ablation.load()),
    "verdicts": lambda: ablation.verdicts(ablation.load(), "4"),
    "5": lambda: ablation.table5(ablation.load()),
    "7": lambda: ablation.table7(ablation.load()),
    "unseen": unseen,
    "left-out": left_out,
    "left-out-gains": left_out_gains,
    "left-out-sources": left_out_sources,
    "curve": lambda: curve("curve"),
    "budget": lambda: curve("budget"),
    "scale": scale,
    "scale-gpu": lambda: scale("scale_gpu.csv"),
    "course-gpu": course_gpu,
    "sizes": lambda: sizes("modality"),
    "zooms": lambda: sizes("zoom"),
    "peers": peers,
    "scores": scores,
    "differences": differences,
    "candidates": candidates,
    "finetuning": finetuning,
    "semi-supervised": semi_supervised,
    "postprocessing": postprocessing,
}


def fill(text: str) -> str:
    """Return a page with each marked table made anew.

    Raises
    ------
    KeyError
        If a page asks for a table that is not known.
    """
    return MARKED.sub(lambda found: f"{found[1]}{markdown(TABLES[found[2]]())}\n{found[3]}", text)


def main() -> int:
    """Write the pages, or check them."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--check", action="store_true", help="change nothing, fail if a table is stale")
    options = parser.parse_args()
    stale = []
    for page in map(ROOT.joinpath, PAGES):
        text = page.read_text(encoding="utf-8")
        if (filled := fill(text)) != text:
            stale.append(str(page.relative_to(ROOT)))
            if not options.check:
                with atomic_path(page) as part:
                    part.write_text(filled, encoding="utf-8")
    frame = ablation.load()
    if not options.check and {"curve", "budget"} <= set(frame["table"]):
        plot_learning_curves(frame).savefig(CURVES, dpi=110)
    print(f"{'stale' if options.check else 'written'}: {', '.join(stale) or 'nothing'}")
    return int(options.check and bool(stale))


if __name__ == "__main__":
    sys.exit(main())
