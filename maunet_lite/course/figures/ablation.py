"""The kit's own ablation, read from its CSV and set beside the paper's Tables 4, 5 and 7, for notebook 06.

Pure functions of a data frame with one row per (table, variant, seed, modality), modality "all" being the row
over all images. The file, `RESULTS`, is written by ``python -m benchmarks.ablation``; where it is missing or
holds only a part, the functions return what there is, down to a table without rows.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

RESULTS = Path(__file__).parents[3] / "benchmarks" / "results" / "ablation.csv"
COMMAND = "python -m benchmarks.ablation --data cells"
SCORES = ("mean_dice", "mean_class_dice", "mean_f1_plain", "mean_f1", "median_f1", "pooled_f1")
COLUMNS = (
    *("table", "variant", "seed", "modality", "images"),
    *SCORES,
    *("steps", "minutes", "commit", "machine", "data"),
)

# What is no table of the paper.
TITLES = {"curve": "The curve over labels", "budget": "The curve over steps"}

# Paper Table 4: mean Dice over classes, F1 without and with post-processing; columns of `RESULTS`.
PAPER_4 = pd.DataFrame(
    {
        "base": (0.7499, 0.7310, 0.8309),
        "w/o L_reg": (0.7458, 0.7284, np.nan),
        "CR": (0.7443, 0.7075, 0.8217),
        "CR*": (0.7403, 0.7101, 0.8243),
        "AAP": (0.7543, 0.7318, 0.8494),
    },
    index=["mean_class_dice", "mean_f1_plain", "mean_f1"],
).T

# Paper Table 5: F1 on the challenge's tuning set, always with scales 1, 1.25 and 1.5.
PAPER_5 = pd.Series({"A, three scales": 0.8162, "B, three scales": 0.8211, "A + B, three scales": 0.8250})

# Paper Table 7: F1 on the challenge's final test set.
PAPER_7 = pd.DataFrame(
    {
        "brightfield": (0.8908, 0.9024),
        "dic": (0.6830, 0.7293),
        "fluorescence": (0.3076, 0.2350),
        "phase-contrast": (0.7314, 0.8327),
        "all": (0.6489, 0.7490),
    },
    index=["mean_f1", "median_f1"],
).T


def load(path: str | Path | None = None) -> pd.DataFrame:
    """Read the results of the ablation.

    Parameters
    ----------
    path : path, optional
        A CSV with the columns `COLUMNS`; `RESULTS` if left out.

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
    path = Path(path or RESULTS)
    if not path.exists():
        return pd.DataFrame(columns=list(COLUMNS))
    frame = pd.read_csv(path, dtype={"table": str, "variant": str, "modality": str})
    if lacking := [name for name in COLUMNS if name not in frame]:
        raise ValueError(f"{path} lacks the column {lacking[0]!r}; expected {', '.join(COLUMNS)}")
    return frame


def rows(frame: pd.DataFrame, table: str, modality: str = "all") -> pd.DataFrame:
    """Return the rows of one table and one modality."""
    return frame[(frame["table"] == table) & (frame["modality"] == modality)]


def spread(frame: pd.DataFrame, table: str, column: str = "mean_f1", modality: str = "all") -> pd.DataFrame:
    """Sum up a score over seeds.

    Returns
    -------
    pandas.DataFrame
        Index variant, in order of appearance; columns mean, sd (of single runs, divisor n − 1; NaN for one
        seed) and seeds.

    Examples
    --------
    >>> frame = pd.DataFrame({"table": "4", "variant": ["base", "base"], "seed": [0, 1], "modality": "all",
    ...                       "mean_f1": [0.7, 0.8]})
    >>> spread(frame, "4").round(3)
             mean     sd  seeds
    variant
    base     0.75  0.071      2
    """
    groups = rows(frame, table, modality).groupby("variant", sort=False)[column]
    return pd.DataFrame({"mean": groups.mean(), "sd": groups.std(ddof=1), "seeds": groups.size()})


def plus_minus(mean: float, sd: float) -> str:
    """Write a mean and its spread, with as many digits as make sense: ``.812 ± .013``; a dash for NaN.

    Examples
    --------
    >>> plus_minus(0.8123, 0.0131), plus_minus(0.8123, float("nan")), plus_minus(float("nan"), 0.1)
    ('.812 ± .013', '.812', '–')
    """
    if np.isnan(mean):
        return "–"
    parts = [f"{mean:.3f}"] + ([] if np.isnan(sd) else [f"{sd:.3f}"])
    return " ± ".join(part.removeprefix("0") for part in parts)


def beside_paper(
    frame: pd.DataFrame, table: str, paper: pd.DataFrame, variants: dict[str, str] | None = None
) -> pd.DataFrame:
    """Set mean ± spread over seeds beside the paper's value, score by score.

    Parameters
    ----------
    frame : pandas.DataFrame
    table : str
    paper : pandas.DataFrame
        Variants in rows, columns of `RESULTS` in columns.
    variants : dict, optional
        Variants to show → name to show them under; by default the paper's rows.

    Returns
    -------
    pandas.DataFrame
        One row per variant that `frame` has, in the order asked for; columns (score, "kit" or "paper"), text,
        and ("", "seeds").
    """
    variants = variants or {name: name for name in paper.index}
    sums = {column: spread(frame, table, column) for column in paper}
    there = [name for name in variants if name in next(iter(sums.values())).index]
    shown: dict[tuple[str, str], list] = {}
    for column, values in sums.items():
        pairs = values.loc[there, ["mean", "sd"]].to_numpy(dtype=float)
        shown[NAMES[column], "kit"] = [plus_minus(*pair) for pair in pairs]
        theirs = paper[column].reindex(there)
        shown[NAMES[column], "paper"] = [plus_minus(value, float("nan")) for value in theirs]
    shown["", "seeds"] = values.loc[there, "seeds"].tolist()
    index = pd.Index([variants[name] for name in there], name="variant")
    return pd.DataFrame(shown, index=index, columns=pd.MultiIndex.from_tuples(shown))


NAMES = {
    "mean_dice": "Dice",
    "mean_class_dice": "mean Dice",
    "mean_f1_plain": "F1_ori",
    "mean_f1": "F1",
    "median_f1": "median F1",
    "pooled_f1": "pooled F1",
}


def table4(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the ablation beside the paper's Table 4: mean Dice, F1 without and with post-processing."""
    return beside_paper(frame, "4", PAPER_4)


def table5(frame: pd.DataFrame) -> pd.DataFrame:
    """Return F1 of encoder A, encoder B and both, at one scale and at three, beside the paper's Table 5.

    Returns
    -------
    pandas.DataFrame
        Rows A, B and A + B as far as there are any; columns "one scale", "three scales", "paper, three
        scales" and "seeds".
    """
    values = spread(frame, "5")
    scales = ("one scale", "three scales")
    there = [
        name for name in ("A", "B", "A + B") if any(f"{name}, {scale}" in values.index for scale in scales)
    ]
    shown = values.reindex([f"{name}, {scale}" for name in there for scale in scales])
    text = [plus_minus(mean, sd) for mean, sd in shown[["mean", "sd"]].to_numpy(dtype=float)]
    paper = [plus_minus(PAPER_5[f"{name}, three scales"], float("nan")) for name in there]
    columns = {"one scale": text[0::2], "three scales": text[1::2], "paper, three scales": paper}
    columns["seeds"] = shown["seeds"].iloc[0::2].fillna(0).astype(int).tolist()
    return pd.DataFrame(columns, index=pd.Index(there, name="encoder"))


def table7(frame: pd.DataFrame, variant: str = "shipped lite") -> pd.DataFrame:
    """Return mean and median F1 per modality of one network beside the paper's Table 7.

    Returns
    -------
    pandas.DataFrame
        One row per modality that was scored, "all" last; columns images, and mean, median and pooled F1 as
        numbers, then the paper's mean and median (of other images).
    """
    found = frame[(frame["table"] == "7") & (frame["variant"] == variant)]
    ours = found.groupby("modality")[["images", "mean_f1", "median_f1", "pooled_f1"]].mean()
    ours["images"] = ours["images"].astype(int)
    ours = ours.reindex(sorted(ours.index, key=lambda name: (name == "all", name)))
    theirs = PAPER_7.reindex(ours.index).rename(columns=lambda name: f"paper {NAMES[name]}")
    theirs = theirs.rename(columns={"paper F1": "paper mean F1"})
    return ours.rename(columns={**NAMES, "mean_f1": "mean F1"}).join(theirs)


def unseen(frame: pd.DataFrame, modality: str | None = None) -> pd.DataFrame:
    """Return F1 on what the network was not trained on, with and without the proxy.

    Rows of table 7 whose variant ends in ``", proxy"`` or ``", no proxy"``: ``"without brightfield, proxy"``
    counts on brightfield images alone, ``"simulated to real, proxy"`` on all.

    Parameters
    ----------
    frame : pandas.DataFrame
    modality : str, optional
        Score on these images instead.

    Returns
    -------
    pandas.DataFrame
        One row per (domain, seed) for which both were trained; columns proxy, no proxy, gain.
    """
    found = frame[frame["table"] == "7"]
    parts = found["variant"].astype(str).str.extract(r"^((?:without )?(.+)), (proxy|no proxy)$")
    left_out = parts[1].where(parts[0] != parts[1])  # the modality behind "without"
    found = found.assign(domain=parts[0], kind=parts[2])
    found = found[found["modality"] == (modality or left_out.fillna("all"))]
    pairs = found.pivot_table(index=["domain", "seed"], columns="kind", values="mean_f1", sort=False)
    pairs = pairs.reindex(columns=["proxy", "no proxy"]).dropna()
    pairs.columns.name = None
    return pairs.assign(gain=pairs["proxy"] - pairs["no proxy"])


def learning_curve(frame: pd.DataFrame, table: str, modality: str = "all") -> pd.DataFrame:
    """Return F1 against the number of labelled images or against the length of the training.

    Parameters
    ----------
    frame : pandas.DataFrame
    table : str
        ``"curve"`` (variants such as ``"20 images"``) or ``"budget"`` (``"300 steps"``).
    modality : str, default "all"

    Returns
    -------
    pandas.DataFrame
        Index: images or steps, ascending. Columns minutes (mean over seeds), mean and sd of F1, seeds.

    Examples
    --------
    >>> frame = pd.DataFrame({"table": "budget", "variant": ["300 steps", "75 steps"], "seed": 0,
    ...                       "modality": "all", "mean_f1": [0.7, 0.5], "minutes": [1.2, 0.3]})
    >>> learning_curve(frame, "budget")
           minutes  mean  sd  seeds
    steps
    75         0.3   0.5 NaN      1
    300        1.2   0.7 NaN      1
    """
    found = rows(frame, table, modality)
    amounts = found["variant"].str.split(" ").str[0].astype(int)
    groups = found.groupby(amounts.rename("images" if table == "curve" else "steps"))
    values = {"minutes": groups["minutes"].mean(), "mean": groups["mean_f1"].mean()}
    return pd.DataFrame(values | {"sd": groups["mean_f1"].std(ddof=1), "seeds": groups.size()})


def paired_gains(
    frame: pd.DataFrame, table: str, against: str = "base", column: str = "mean_f1", modality: str = "all"
) -> pd.DataFrame:
    """Return what each variant gains over another one, seed by seed.

    Returns
    -------
    pandas.DataFrame
        Seeds in rows, variants (without `against`) in columns; only seeds that `against` has.
    """
    values = rows(frame, table, modality).pivot_table(
        index="seed", columns="variant", values=column, sort=False
    )
    values.columns.name = None
    if against not in values:
        return pd.DataFrame(index=values.index[:0])
    return values.drop(columns=against).sub(values[against], axis=0).dropna(how="all")


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

    gains = np.asarray(gains, dtype=float)
    gains = gains[~np.isnan(gains)]
    if gains.size < 2:
        return "one seed"
    limit = t.ppf(0.975, gains.size - 1) * gains.std(ddof=1) / np.sqrt(gains.size)
    if abs(gains.mean()) <= limit:
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
    title = TITLES.get(table, f"Table {table}")
    if found.empty:
        return f"{title} has no rows here yet; `{COMMAND} --only {table}` makes them."
    minutes = found["minutes"].dropna()
    cost = f", {_span(minutes)} minutes each" if len(minutes) else ""
    many, steps = _span(found.groupby("variant")["seed"].nunique()), _span(found["steps"].dropna())
    where = ", ".join(dict.fromkeys(found["machine"].dropna().astype(str)))
    images = int(found["images"].max())
    return (
        f"{title}: {many} seed{'s' if many != '1' else ''} per row, {steps} steps{cost}; "
        f"{where}; scored on {images} images of '{found['data'].iloc[0]}'."
    )


def by_modality(frame: pd.DataFrame, table: str, column: str = "mean_f1") -> pd.DataFrame:
    """Return the mean over seeds: variants in rows, modalities in columns, "all" last."""
    values = frame[frame["table"] == table].pivot_table(
        index="variant", columns="modality", values=column, sort=False
    )
    return values[sorted(values, key=lambda name: (name == "all", name))]


def _span(values: pd.Series) -> str:
    """Write the smallest and the largest value, or one number if they are written alike."""
    ends = [f"{values.min():,.0f}", f"{values.max():,.0f}"]
    return " to ".join(dict.fromkeys(ends))
