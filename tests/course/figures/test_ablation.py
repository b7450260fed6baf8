"""The kit's ablation beside the paper's: read, summed up over seeds, tolerant of what is not there."""

from __future__ import annotations

from pathlib import Path

import nbformat
import numpy as np
import pandas as pd
import pytest

from maunet_lite.course.display import collect
from maunet_lite.course.figures import ablation as tables

NOTEBOOK = Path(__file__).parents[3] / "notebooks" / "06_evaluation_and_ablation.ipynb"


def row(table: str, variant: str, seed: int, f1: float, modality: str = "all", **more: object) -> dict:
    """One line of the CSV, all scores alike unless said otherwise."""
    scores = dict.fromkeys(tables.SCORES, f1)
    about = {"images": 7, "steps": 600, "minutes": 5.0 + seed, "commit": "abc", "machine": "1 core"}
    return (
        {"table": table, "variant": variant, "seed": seed, "modality": modality}
        | scores
        | about
        | {"data": "cells"}
        | more
    )


def frame(*rows: dict) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=list(tables.COLUMNS))


FOUR = frame(
    row("4", "base", 0, 0.70),
    row("4", "base", 1, 0.80),
    row("4", "base", 0, 0.10, "dic"),
    row("4", "AAP", 0, 0.74, mean_f1_plain=0.5),
    row("4", "AAP", 1, 0.86, mean_f1_plain=0.6),
    row("5", "A, one scale", 0, 0.99),
)
NOTHING = frame()


def test_spread_is_over_seeds_of_one_table_and_all_images():
    values = tables.spread(FOUR, "4")
    assert list(values.index) == ["base", "AAP"]
    assert values["mean"].tolist() == pytest.approx([0.75, 0.80])
    # two values at distance d: standard deviation d / √2
    assert values["sd"].tolist() == pytest.approx([0.1 / np.sqrt(2), 0.12 / np.sqrt(2)])
    assert values["seeds"].tolist() == [2, 2]


def test_spread_of_a_modality_and_of_one_seed():
    values = tables.spread(FOUR, "4", modality="dic")
    assert values["mean"].tolist() == [0.10]
    assert values["sd"].isna().all()


def test_table_4_shows_the_variants_that_are_there_in_the_order_of_the_paper():
    shown = tables.table4(FOUR)
    assert list(shown.index) == ["base", "AAP"]
    assert shown.loc["AAP", ("F1", "kit")] == ".800 ± .085"
    assert shown.loc["AAP", ("F1_ori", "kit")] == ".550 ± .071"
    assert shown.loc["AAP", ("F1", "paper")] == ".849"
    assert shown.loc["base", ("", "seeds")] == 2


def test_paper_has_no_f1_without_the_regression_loss():
    shown = tables.table4(frame(row("4", "w/o L_reg", 0, 0.5)))
    assert shown.loc["w/o L_reg", ("F1", "paper")] == "–"
    assert shown.loc["w/o L_reg", ("F1", "kit")] == ".500"


@pytest.mark.parametrize("function", [tables.table4, tables.table5, tables.table7, tables.unseen])
def test_tables_without_rows_are_empty(function):
    assert len(function(NOTHING)) == 0


def test_table_5_has_a_row_per_encoder_and_a_column_per_number_of_scales():
    shown = tables.table5(
        frame(
            row("5", "A, one scale", 0, 0.6),
            row("5", "A, three scales", 0, 0.7),
            row("5", "A + B, one scale", 0, 0.65),
        )
    )
    assert list(shown.index) == ["A", "A + B"]
    assert shown["one scale"].tolist() == [".600", ".650"]
    assert shown["three scales"].tolist() == [".700", "–"]
    assert shown["paper, three scales"].tolist() == [".816", ".825"]
    assert shown["seeds"].tolist() == [1, 1]


def test_table_7_ends_with_all_images():
    shown = tables.table7(
        frame(
            row("7", "shipped lite", 0, 0.8, median_f1=0.9),
            row("7", "shipped lite", 0, 0.4, "dic"),
            row("7", "without dic, proxy", 0, 0.1, "dic"),
        )
    )
    assert list(shown.index) == ["dic", "all"]
    assert shown.loc["all", ["mean F1", "median F1", "paper mean F1"]].tolist() == [0.8, 0.9, 0.6489]
    assert shown.loc["dic", "mean F1"] == 0.4


def test_networks_that_saw_no_real_image_are_paired_by_seed():
    results = frame(
        row("7", "simulated to real, proxy", 0, 0.2),
        row("7", "simulated to real, no proxy", 0, 0.25),
        row("7", "simulated to real, proxy", 0, 0.5, "dic"),
        row("7", "simulated to real, no proxy", 0, 0.3, "dic"),
        row("7", "simulated to real, proxy", 1, 0.5, "dic"),  # its twin is not there yet
        row("4", "simulated to real, no proxy", 1, 0.5, "dic"),
        row("7", "shipped lite", 0, 0.8),
    )
    shown = tables.unseen(results)
    assert shown.index.tolist() == [("all", 0), ("dic", 0)]
    assert shown["gain"].tolist() == pytest.approx([-0.05, 0.2])


def test_gains_are_paired_by_seed():
    gains = tables.paired_gains(FOUR, "4")
    assert gains["AAP"].tolist() == pytest.approx([0.04, 0.06])
    assert tables.paired_gains(NOTHING, "4").empty


@pytest.mark.parametrize(
    ("gains", "said"),
    [
        # mean .05; standard error .01/√2/√2 = .005 for two values .04 and .06; Student's limit is 12.7 of it
        ([0.04, 0.06], "not shown"),
        ([0.050, 0.051, 0.049], "better"),  # standard error .0006, limit 4.3
        ([-0.050, -0.051, -0.049], "worse"),
        ([0.05, np.nan], "one seed"),
        ([], "one seed"),
    ],
)
def test_verdict(gains, said):
    assert tables.verdict(np.array(gains)) == said


def test_budget_says_what_it_cost_or_how_to_get_it():
    assert tables.budget(FOUR, "4") == (
        "Table 4: 2 seed(s) per row, 600 steps, 5 to 6 minutes each; 1 core; scored on 7 images of 'cells'."
    )
    assert "python -m benchmarks.ablation" in tables.budget(NOTHING, "4")


def test_reading_keeps_names_of_tables_as_text(tmp_path):
    FOUR.to_csv(tmp_path / "ablation.csv", index=False)
    found = tables.load(tmp_path / "ablation.csv")
    pd.testing.assert_frame_equal(found, FOUR)


def test_tables_are_found_where_pip_put_them(tmp_path, monkeypatch):
    FOUR.to_csv(tmp_path / "ablation.csv", index=False)
    monkeypatch.setattr(
        tables, "__file__", str(tmp_path / "a" / "b" / "c" / "d" / "ablation.py")
    )  # no checkout

    class Installed:
        name = "ablation.csv"

        def locate(self) -> Path:
            return tmp_path / self.name

    monkeypatch.setattr(tables.metadata, "files", lambda package: [Installed()])
    pd.testing.assert_frame_equal(tables.load()[list(FOUR)], FOUR)
    monkeypatch.setattr(tables.metadata, "files", lambda package: None)
    assert tables.load().empty


def test_reading_refuses_a_file_without_a_column(tmp_path):
    FOUR.drop(columns="seed").to_csv(tmp_path / "ablation.csv", index=False)
    with pytest.raises(ValueError, match="lacks the column 'seed'"):
        tables.load(tmp_path / "ablation.csv")


def test_published_notebook_shows_the_numbers_of_the_file():
    if not (NOTEBOOK.exists() and tables.results("ablation.csv").exists()):
        pytest.skip("no published notebook 06, or no results")
    shown, results = collect(nbformat.read(NOTEBOOK, as_version=4)), tables.load()
    expected = {
        f"table {table}, F1, {variant}": mean
        for table in "45"
        for variant, mean in tables.spread(results, table)["mean"].items()
    }
    seven = tables.table7(results)["mean F1"]
    expected |= {f"table 7, F1, {modality}": mean for modality, mean in seven.items()}
    recorded = {name: value for name, value in shown.items() if name.startswith("table ")}
    assert recorded == pytest.approx(expected, abs=6e-5)


def test_modalities_stand_in_columns_with_all_images_last():
    results = frame(
        row("4", "base", 0, 0.7), row("4", "base", 0, 0.2, "dic"), row("4", "base", 1, 0.4, "dic")
    )
    shown = tables.by_modality(results, "4")
    assert list(shown) == ["dic", "all"]
    assert shown.loc["base"].tolist() == pytest.approx([0.3, 0.7])
    assert tables.by_modality(NOTHING, "4").empty
