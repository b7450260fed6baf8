"""The protocol for unseen sources: what is left out is neither trained on nor forgotten."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from benchmarks import unseen
from benchmarks.unseen import CHANGES, Row, configuration, groups, joined, parsed, rows
from maunet_lite.data import CellDataset, write_image, write_labels
from maunet_lite.training import RECIPES, TrainConfig


def folder(path: Path, sources: dict[str, int]) -> Path:
    """A dataset of so many images of each source."""
    table = []
    for source, n in sources.items():
        for i in range(n):
            name = f"{source}{i}.png"
            write_image(path / "images" / name, np.zeros((8, 8), np.uint8))
            write_labels(path / "labels" / f"{source}{i}_label.tiff", np.ones((8, 8), np.int32))
            table.append((name, "dic", source, "val" if i == 0 else "train"))
    pd.DataFrame(table, columns=["image", "modality", "source", "split"]).to_csv(
        path / "metadata.csv", index=False
    )
    return path


@pytest.fixture
def data(tmp_path: Path) -> CellDataset:
    one, two = folder(tmp_path / "one", {"a": 5, "b": 2}), folder(tmp_path / "two", {"c": 3, "d": 1})
    return joined([one, two], tmp_path / "both")


def test_folders_are_joined_by_links(data: CellDataset, tmp_path: Path) -> None:
    assert dict(data.table["source"].value_counts()) == {"a": 5, "b": 2, "c": 3, "d": 1}
    assert data.table["labelled"].all()
    assert (data.folder / "images" / "a0.png").resolve() == tmp_path / "one" / "images" / "a0.png"
    assert joined([tmp_path / "one", tmp_path / "two"], data.folder).folder == data.folder
    with pytest.raises(SystemExit, match="joined from other folders"):
        joined([tmp_path / "one"], data.folder)
    with pytest.raises(SystemExit, match=r"two of the folders hold 'a0\.png'"):
        joined([tmp_path / "one", tmp_path / "one"], tmp_path / "twice")


def test_every_source_is_left_out_once(data: CellDataset) -> None:
    assert sorted(groups(data, None)) == [("a",), ("b",), ("c",), ("d",)]
    assert groups(data, 2) == [("a",), ("b", "c", "d")], "of 4 and 3 training images"
    plan = list(rows(data, parsed(["--variants", "paper", "lite", "--seeds", "0", "1"])))
    assert len({row.name for row in plan}) == len(plan) == 4 * 2 * 2
    assert {row.sources for row in rows(data, parsed(["--sources", "c"]))} == {("c",)}


def test_variants_differ_in_what_they_say(data: CellDataset, tmp_path: Path) -> None:
    options = parsed(["--out", str(tmp_path / "runs"), "--switched-off"])
    assert set(options.variants) > {f"lite-{name}" for name in CHANGES}

    def made(variant: str) -> dict:
        return configuration(Row(variant, ("a", "b"), 3), data, options).to_dict()

    lite = made("lite")
    assert (lite["leave_out"], lite["seed"], lite["steps"]) == (("a", "b"), 3, 600)
    assert lite["augmentation"] == RECIPES["lite"].override(patch=192).to_dict()["augmentation"]
    for name, (option, value) in CHANGES.items():
        changed = made(f"lite-{name}")
        assert changed.pop("augmentation") == lite["augmentation"] | {option: value}
        assert changed | {"out": ""} == {k: v for k, v in lite.items() if k != "augmentation"} | {"out": ""}
    assert made("lite-noproxy") | {"out": ""} == lite | {"proxy": False, "out": ""}
    assert made("paper")["augmentation"]["sizes"] is None
    only_val = configuration(Row("lite", ("c", "d"), 0), data, options).leave_out
    assert only_val == ("c",), "of d there is no training image to leave out"
    for wrong in ("wild", "lite-weather", "paper-size"):
        with pytest.raises(SystemExit, match="is not known"):
            made(wrong)
    with pytest.raises(SystemExit, match="needs --base-steps"):
        made("simulated")


def test_all_go_on_from_simulated_pictures(
    data: CellDataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = parsed(["--out", str(tmp_path / "runs"), "--base-steps", "40", "--base-seed", "7"])
    options.results = tmp_path / "unseen.csv"
    configurations: dict[str, TrainConfig] = {}

    def train(config: TrainConfig) -> Path:
        configurations[Path(config.out).name] = config
        Path(config.out).mkdir(parents=True, exist_ok=True)
        (Path(config.out) / "log.csv").write_text("step,minutes\n40,1.5\n")
        return Path(config.out) / "last.safetensors"

    monkeypatch.setattr(unseen, "trained", train)
    monkeypatch.setattr(unseen, "evaluate", lambda *_, **__: pd.DataFrame({"f1": [0.5]}))
    for variant in ("lite", "paper-noproxy", "simulated"):
        unseen.run(Row(variant, ("a",), 1), data, options)
    assert set(configurations) == {"base", "lite-without-a-1", "base-noproxy", "paper-noproxy-without-a-1"}
    first = configurations["base"]
    assert (first.data, first.steps, first.seed, first.start_from) == ("simulated-extra", 40, 7, None)
    assert first.augmentation.sizes is None, "as the paper does"
    lite = configurations["lite-without-a-1"]
    assert lite.start_from == str(options.out / "base" / "last.safetensors")
    assert (lite.leave_out, lite.steps) == (("a",), 600)
    assert not configurations["base-noproxy"].proxy
    table = unseen.collect(options).set_index("variant")
    assert table["steps"].to_dict() == {"lite": 600, "paper-noproxy": 600, "simulated": 0}
    assert set(table["base_steps"]) == {40}


def test_the_shipped_table_is_kept(data: CellDataset, tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match=r"unseen\.csv is of other sources than .*name another --results"):
        unseen.refuse_other_sources(data, parsed([]))
    unseen.refuse_other_sources(data, parsed(["--results", str(tmp_path / "mine.csv")]))


def test_what_is_done_is_not_done_again(
    data: CellDataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = parsed(["--out", str(tmp_path / "runs"), "--results", str(tmp_path / "unseen.csv")])
    unseen.keep_to_one_budget(options)
    row, trained, scored = Row("lite", ("b", "d"), 0), [], []

    def train(config: object) -> Path:
        trained.append(config)
        log = Path(config.out) / "log.csv"
        log.parent.mkdir(parents=True)
        log.write_text("step,minutes\n600,1.5\n")
        return log.with_name("last.safetensors")

    def evaluate(_: Path, part: CellDataset, split: str, scales: object, **how: object) -> pd.DataFrame:
        scored.append((sorted(part.table["source"]), scales))
        return pd.DataFrame({"f1": [1.0 if scales == "auto" else 0.5] * len(part)})

    monkeypatch.setattr(unseen, "trained", train)
    monkeypatch.setattr(unseen, "evaluate", evaluate)
    for _ in range(2):
        unseen.run(row, data, options)
    assert len(trained) == 1
    assert scored[0] == (["a", "c"], (1.0,)), "validation images of the others only"
    assert [part for part, _ in scored[1:]] == [["b", "b"]] * 2 + [["d"]] * 2
    table = unseen.collect(options)
    assert table[["source", "images", "f1", "f1_auto"]].to_numpy().tolist() == [
        ["b", 2, 0.5, 1.0],
        ["d", 1, 0.5, 1.0],
    ]
    assert len(pd.read_csv(tmp_path / "unseen.csv")) == 2
    options.steps = 60
    with pytest.raises(SystemExit, match="name another --out"):
        unseen.keep_to_one_budget(options)


@pytest.mark.slow
def test_the_quick_form_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    monkeypatch.setattr("sys.argv", ["unseen", "--quick", "--data", "samples"])
    unseen.main()
    out = capsys.readouterr().out
    assert "paper without" in out
    assert "f1_auto" in out
