"""The kit's own ablation, read from its CSV and set beside the paper's Tables 4, 5 and 7, for notebook 06.

Pure functions of a data frame with one row per (table, variant, seed, modality), modality "all" being the row
over all images. ``python -m benchmarks.ablation`` writes the file (`results`); where it is missing or holds
only a part, the functions return what there is, down to a table without rows.
"""

from importlib import metadata
from pathlib import Path

import numpy as np
import pandas as pd

SCORES = ("mean_dice", "mean_class_dice", "mean_f1_plain", "mean_f1", "median_f1", "pooled_f1")
COLUMNS = ("table", "variant", "seed", "modality", "images", *SCORES)
COLUMNS += ("steps", "minutes", "commit", "machine", "data")
NAMES = {"mean_class_dice": "mean Dice", "mean_f1_plain": "F1_ori", "mean_f1": "F1"}
NAMES |= {"median_f1": "median F1", "pooled_f1": "pooled F1"}

# The paper's rows in the form of the kit's. Table 4: mean Dice over classes, F1 without and with
# post-processing; 5: F1 on the challenge's tuning set, always with scales 1, 1.25 and 1.5; 7: F1 on its final
# test set.
_PAPER = pd.read_csv(Path(__file__).with_name("paper.csv"), dtype={"table": str}).set_index("table")
PAPER_4 = _PAPER.loc["4"].set_index("variant")[["mean_class_dice", "mean_f1_plain", "mean_f1"]]
PAPER_5 = _PAPER.loc["5"].set_index("variant")["mean_f1"].rename_axis("encoder")
PAPER_7 = _PAPER.loc["7"].set_index("modality")[["mean_f1", "median_f1"]]


def results(name: str) -> Path:
    """Return where a table of ``benchmarks/results`` lies: in the checkout, or where pip put the data files.

    >>> results("nothing.csv").exists()
    False
    """
    path = Path(__file__).parents[3] / "benchmarks" / "results" / name
    files = () if path.exists() else metadata.files("maunet-lite") or ()  # no checkout, as on Colab
    return Path(next((file.locate() for file in files if file.name == name), path))


def load(path: str | Path | None = None) -> pd.DataFrame:
    """Read the results of the ablation.

    Parameters
    ----------
    path : path, optional
        A CSV with the columns `COLUMNS`; by default that of the kit.

    Returns
    -------
    pandas.DataFrame
        Without rows, but with all columns, if there is no such file.

    Raises
    ------
    ValueError
        If the file lacks one of the columns.

    Examples
    --------
    >>> load("nothing.csv").empty
    True
    """
    path = Path(path or results("ablation.csv"))
    if not path.exists():
        return pd.DataFrame(columns=list(COLUMNS))
    frame = pd.read_csv(path, dtype={"table": str, "variant": str, "modality": str})
    if lacking := [name for name in COLUMNS if name not in frame]:
        raise ValueError(f"{path} lacks the column {lacking[0]!r}; expected {', '.join(COLUMNS)}")
    return frame


def rows(frame: pd.DataFrame, table: str, modality: str = "all") -> pd.DataFrame:
    """Return the rows of one table and one modality."""
    return frame[(frame["table"] == table) & (frame["modality"] == modality)]


def plus_minus(mean: float, sd: float = float("nan")) -> str:
    """Write a mean and its spread, with as many digits as make sense: ``.812 ± .013``; a dash for NaN.

    Examples
    --------
    >>> plus_minus(0.8123, 0.0131), plus_minus(0.8123), plus_minus(float("nan"), 0.1)
    ('.812 ± .013', '.812', '–')
    """
    if np.isnan(mean):
        return "–"
    return " ± ".join(f"{value:.3f}".removeprefix("0") for value in (mean, sd) if not np.isnan(value))


def spread(frame: pd.DataFrame, table: str, column: str = "mean_f1", modality: str = "all") -> pd.DataFrame:
    """Sum up a score over seeds.

    Returns
    -------
    pandas.DataFrame
        Index variant, in order of appearance; columns mean, sd (of single runs, divisor n − 1; NaN for one
        seed), seeds, and text, mean and sd as `plus_minus` writes them.

    Examples
    --------
    >>> frame = pd.DataFrame({"table": "4", "variant": ["base", "base"], "seed": [0, 1], "modality": "all",
    ...                       "mean_f1": [0.7, 0.8]})
    >>> spread(frame, "4").round(3)
             mean     sd  seeds         text
    variant
    base     0.75  0.071      2  .750 ± .071
    """
    groups = rows(frame, table, modality).groupby("variant", sort=False)[column]
    values = groups.agg(mean="mean", sd="std", seeds="size")
    return values.assign(text=[plus_minus(*pair) for pair in zip(values["mean"], values["sd"], strict=True)])


def table4(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the ablation beside the paper's Table 4: mean Dice, F1 without and with post-processing.

    Returns
    -------
    pandas.DataFrame
        One row per variant that `frame` has, in the paper's order; columns (score, "kit" or "paper"), mean ±
        spread over seeds as text, and ("", "seeds").
    """
    seeds = spread(frame, "4")["seeds"]
    there = PAPER_4.index.intersection(seeds.index, sort=False)
    shown = {}
    for column in PAPER_4:
        shown[NAMES[column], "kit"] = spread(frame, "4", column).loc[there, "text"]
        shown[NAMES[column], "paper"] = PAPER_4.loc[there, column].map(plus_minus)
    return pd.DataFrame(shown | {("", "seeds"): seeds.loc[there]}, index=there)


def table5(frame: pd.DataFrame) -> pd.DataFrame:
    """Return F1 of encoder A, encoder B and both, at one scale and at three, beside the paper's Table 5.

    Returns
    -------
    pandas.DataFrame
        Rows A, B and A + B as far as there are any; columns "one scale", "three scales", "paper, three
        scales" and "seeds".
    """
    values = spread(frame, "5")
    shown = pd.DataFrame(index=PAPER_5.index)
    for scales in ("one scale", "three scales"):
        shown[scales] = values["text"].reindex(PAPER_5.index + f", {scales}").to_numpy()
    shown["paper, three scales"] = PAPER_5.map(plus_minus)
    shown["seeds"] = values["seeds"].reindex(PAPER_5.index + ", one scale", fill_value=0).to_numpy()
    return shown.dropna(how="all", subset=["one scale", "three scales"]).fillna("–")


def table7(frame: pd.DataFrame) -> pd.DataFrame:
    """Return mean and median F1 per modality of the shipped network beside the paper's Table 7.

    Returns
    -------
    pandas.DataFrame
        One row per modality that was scored, "all" last; columns images, and mean, median and pooled F1 as
        numbers, then the paper's mean and median (of other images).
    """
    found = frame[(frame["table"] == "7") & (frame["variant"] == "shipped lite")]
    ours = found.groupby("modality")[["images", "mean_f1", "median_f1", "pooled_f1"]].mean()
    names = NAMES | {"mean_f1": "mean F1"}
    shown = ours.rename(columns=names).join(PAPER_7.rename(columns=names).add_prefix("paper "))
    return all_last(shown.astype({"images": int}))


def all_last(table: pd.DataFrame, axis: int = 0) -> pd.DataFrame:
    """Sort modalities by name, "all" behind them.

    Examples
    --------
    >>> all_last(pd.DataFrame(index=["dic", "all", "brightfield"])).index.tolist()
    ['brightfield', 'dic', 'all']
    """
    return table.reindex(sorted(table.axes[axis], key=lambda name: (name == "all", name)), axis=axis)


def unseen(frame: pd.DataFrame) -> pd.DataFrame:
    """Return F1 on real images of networks trained on simulated ones alone, with and without the proxy.

    Rows of table 7 whose variant is ``"simulated to real, proxy"`` or ``"simulated to real, no proxy"``.

    Returns
    -------
    pandas.DataFrame
        One row per (modality, seed) for which both were trained; columns proxy, no proxy, gain.
    """
    kind = frame["variant"].astype(str).str.removeprefix("simulated to real, ")
    found = frame[(frame["table"] == "7") & (kind != frame["variant"])].assign(kind=kind)
    pairs = found.pivot_table(index=["modality", "seed"], columns="kind", values="mean_f1", sort=False)
    pairs = pairs.reindex(columns=["proxy", "no proxy"]).dropna().rename_axis(columns=None)
    return pairs.assign(gain=pairs["proxy"] - pairs["no proxy"])


def paired_gains(
    frame: pd.DataFrame, table: str, against: str = "base", column: str = "mean_f1", modality: str = "all"
) -> pd.DataFrame:
    """Return what each variant gains over another one, seed by seed.

    Returns
    -------
    pandas.DataFrame
        Seeds in rows, variants (without `against`) in columns; only seeds that `against` has.
    """
    found = rows(frame, table, modality)
    values = found.pivot_table(index="seed", columns="variant", values=column, sort=False)
    if against not in values:
        return pd.DataFrame(index=values.index[:0])
    gains = values.drop(columns=against).sub(values[against], axis=0)
    return gains.dropna(how="all").rename_axis(columns=None)


def verdict(gains: pd.Series | np.ndarray) -> str:
    """Say in words what a handful of paired gains shows.

    "better" or "worse" if the mean is more than the Student 95 % limit of standard errors away from zero;
    "not shown" otherwise; "one seed" where there is nothing to judge by.

    Examples
    --------
    >>> [verdict(np.array(gains)) for gains in ([0.03, 0.04, 0.035], [0.03, -0.04], [0.1])]
    ['better', 'not shown', 'one seed']
    """
    from scipy.stats import t

    gains = pd.Series(gains, dtype=float).dropna()
    if len(gains) < 2:
        return "one seed"
    if abs(gains.mean()) <= t.ppf(0.975, len(gains) - 1) * gains.sem():
        return "not shown"
    return "better" if gains.mean() > 0 else "worse"


def verdicts(frame: pd.DataFrame, table: str, against: str = "base") -> pd.DataFrame:
    """Return what each variant gains over another one by each of the paper's three scores, with the verdict.

    Returns
    -------
    pandas.DataFrame
        Variants in rows; columns mean Dice, F1_ori and F1, text such as ``"+0.012, not shown"``.

    Examples
    --------
    >>> frame = pd.DataFrame({"table": "4", "variant": ["base", "base", "AAP", "AAP"], "seed": [0, 1, 0, 1],
    ...                       "modality": "all", "mean_f1": [0.7, 0.8, 0.71, 0.82], "mean_f1_plain": 0.5,
    ...                       "mean_class_dice": 0.5})
    >>> verdicts(frame, "4")["F1"].to_dict()
    {'AAP': '+0.015, not shown'}
    """
    shown = {}
    for column in PAPER_4:
        gains = paired_gains(frame, table, against, column)
        shown[NAMES[column]] = {name: f"{gains[name].mean():+.3f}, {verdict(gains[name])}" for name in gains}
    return pd.DataFrame(shown)


def budget(frame: pd.DataFrame, table: str) -> str:
    """Say in a sentence what the rows of a table cost, or that there are none and how to make them."""
    found = rows(frame, table)
    if found.empty:
        command = f"python -m benchmarks.ablation --data cells --only {table}"
        return f"Table {table} has no rows here yet; `{command}` makes them."
    seeds, steps = _span(found.groupby("variant")["seed"].nunique()), _span(found["steps"])
    cost = f", {_span(found['minutes'])} minutes each" if found["minutes"].notna().any() else ""
    machines = ", ".join(found["machine"].dropna().astype(str).unique())
    return (
        f"Table {table}: {seeds} seed(s) per row, {steps} steps{cost}; {machines}; "
        f"scored on {found['images'].max():.0f} images of '{found['data'].iloc[0]}'."
    )


def by_modality(frame: pd.DataFrame, table: str, column: str = "mean_f1") -> pd.DataFrame:
    """Return the mean over seeds: variants in rows, modalities in columns, "all" last."""
    found = frame[frame["table"] == table]
    return all_last(found.pivot_table(index="variant", columns="modality", values=column, sort=False), axis=1)


def _span(values: pd.Series) -> str:
    """Write the smallest and the largest value, or one number if they are written alike."""
    return " to ".join(dict.fromkeys([f"{values.min():,.0f}", f"{values.max():,.0f}"]))
