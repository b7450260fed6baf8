"""The tables of README and docs are those of the CSV files beside them."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from benchmarks import results_tables
from benchmarks.results_tables import PAGES, ROOT, fill, markdown


@pytest.mark.parametrize("page", PAGES)
def test_tables_are_those_of_the_csv_files(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    assert fill(text) == text, f"a table in {page} is stale: run `python -m benchmarks.results_tables`"


def test_a_changed_number_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    frame = pd.DataFrame({"F1": [0.75]}, index=["lite"])
    monkeypatch.setitem(results_tables.TABLES, "toy", lambda: frame)
    page = fill("before\n<!-- table:toy -->\n<!-- /table -->\nafter")
    assert page == (
        "before\n<!-- table:toy -->\n| | F1 |\n|---|---:|\n| lite | .750 |\n<!-- /table -->\nafter"
    )
    assert fill(page) == page
    frame["F1"] = 0.8
    assert "| lite | .800 |" in fill(page)


def test_numbers_are_written_as_people_read_them() -> None:
    frame = pd.DataFrame(
        {"n": [1234], "score": [0.5], "seconds": [1.5], "long": [123.4], "none": [np.nan], "text": ["a"]},
        index=[("x", 1)],
    )
    assert markdown(frame).splitlines()[-1] == "| x, 1 | 1,234 | .500 | 1.500 | 123 | – | a |"


def test_a_table_without_rows_says_so() -> None:
    assert markdown(pd.DataFrame(columns=["F1"])) == "*No rows yet; the command above makes them.*"


def test_an_unknown_table_is_refused() -> None:
    with pytest.raises(KeyError, match="nothing"):
        fill("<!-- table:nothing -->\n<!-- /table -->")


def test_left_out_sources_are_told_apart_from_those_that_were_there(tmp_path, monkeypatch):
    rows = [("lite", "a", 0, 0.2, 0.4, 0.8), ("lite", "b", 0, 0.4, 0.8, 0.8), ("lite", "c", 0, 0.6, 0.6, 0.6)]
    rows += [("lite-size", "a", 0, 0.1, 0.1, 0.9), ("lite", "a", 1, 0.3, 0.3, 0.7)]
    rows += [("lite-noproxy", "a", 0, 0.41, 0.4, 0.7), ("lite-noproxy", "a", 1, 0.31, 0.5, 0.7)]
    columns = ["variant", "source", "seed", "f1", "f1_auto", "f1_val"]
    table = pd.DataFrame(rows, columns=columns).assign(steps=1450, images=12)
    table[table["seed"] == 0].to_csv(tmp_path / "unseen.csv")
    other = table[table["seed"] == 1].assign(seed=0)  # the same seed, and another training all the same
    other.to_csv(tmp_path / "unseen_other_start.csv")
    table[:1].replace("lite", "paper").to_csv(tmp_path / "unseen_from_nothing.csv")
    monkeypatch.setattr(results_tables, "RESULTS", tmp_path)
    shown = results_tables.left_out()
    order = ["lite", "lite, no proxy", "paper, from nothing", "lite without size"]
    assert sorted(shown.index) == sorted(order)
    assert shown.index[-2:].tolist() == order[-2:]
    of_two_trainings = ".700 ± .000"  # .8 and .6 with the first seed
    assert shown.loc["lite"].tolist() == ["1,450", ".350 ± .071", ".450 ± .212", of_two_trainings, "2"]
    assert shown.loc["lite without size"].tolist() == ["1,450", ".100", ".100", ".900", "1"]
    gains = results_tables.left_out_gains()
    assert gains.index.tolist() == ["lite, no proxy"], "one seed is no comparison"
    assert gains.loc["lite, no proxy"].tolist()[:2] == ["+0.010, better", "+0.000, not shown"]
    sources = results_tables.left_out_sources()
    assert sources.columns.tolist() == ["images", "lite", "lite, no proxy", "paper, from nothing"]
    assert sources.loc["a", "lite"] == pytest.approx(0.35)
