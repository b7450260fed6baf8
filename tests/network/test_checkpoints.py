"""Saving, loading, shipped models, and the import of the authors' files with its error messages."""

from __future__ import annotations

import json
import os
import pickle
import re
import stat
from pathlib import Path

import numpy as np
import pytest
import torch
from huggingface_hub import ModelCard
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from maunet_lite.network import (
    find_checkpoint,
    load_model,
    model_card,
    read_record,
    save_model,
    shipped_models,
)
from maunet_lite.network.authors import HEAD, convert_authors, import_authors, read_published, translate
from maunet_lite.network.checkpoints import files
from maunet_lite.network.checkpoints.files import CheckpointError
from maunet_lite.network.maunet import MAUNet, ModelConfig

DATA = Path(__file__).parents[1] / "golden"
SMALL = ModelConfig("lite:2", (0, 4, 6), norm="batch", boundary=False)


@pytest.fixture
def small() -> MAUNet:
    torch.manual_seed(0)
    return MAUNet(SMALL).eval()


def output(model: MAUNet) -> torch.Tensor:
    with torch.no_grad():
        return model(torch.linspace(0, 1, 3 * 8 * 12).view(1, 3, 8, 12)).logits


# --- save and load --------------------------------------------------


def test_round_trip(small, tmp_path):
    path = save_model(small, tmp_path / "new" / "run" / "best.safetensors", {"epoch": 3, "f1": 0.5})
    assert sorted(file.name for file in path.parent.iterdir()) == ["best.json", "best.safetensors"]
    again = load_model(path)
    assert again.config == SMALL
    assert not again.training
    assert torch.equal(output(again), output(small))
    record = json.loads(path.with_suffix(".json").read_text())
    assert record["config"]["encoder"] == "lite:2"
    assert record["record"] == {"epoch": 3, "f1": 0.5}
    assert read_record(path) == record


def test_a_loaded_model_can_be_trained(small, tmp_path):
    model = load_model(save_model(small, tmp_path / "x.safetensors")).train()
    model(torch.rand(2, 3, 8, 8)).logits.sum().backward()
    assert all(p.requires_grad and p.grad is not None for p in model.class_decoder.parameters())


def test_half_is_half_as_large_and_close(small, tmp_path):
    whole = save_model(small, tmp_path / "whole.safetensors")
    half = save_model(small, tmp_path / "half.safetensors", half=True)
    assert half.stat().st_size < 0.75 * whole.stat().st_size  # the header does not shrink
    again = load_model(half)
    assert all(p.dtype == torch.float32 for p in again.parameters())
    torch.testing.assert_close(output(again), output(small), atol=1e-2, rtol=1e-2)


def test_half_refuses_what_does_not_fit(small, tmp_path):
    small.class_head.conv.bias.data[0] = 1e6
    with pytest.raises(
        CheckpointError, match=r"class_head.conv.bias holds values that do not fit .* half=False"
    ):
        save_model(small, tmp_path / "x.safetensors", half=True)
    assert not list(tmp_path.glob("*.safetensors"))


def test_channels_last_weights_are_saved(small, tmp_path):
    path = save_model(small.to(memory_format=torch.channels_last), tmp_path / "x.safetensors")
    torch.testing.assert_close(output(load_model(path)), output(small))


def test_weights_know_their_architecture_without_the_record(small, tmp_path):
    path = save_model(small, tmp_path / "x.safetensors", {"epoch": 3})
    path.with_suffix(".json").unlink()
    assert load_model(path).config == SMALL
    assert read_record(path)["record"] == {}


def test_files_are_readable_by_others(small, tmp_path):
    umask = os.umask(0o022)
    try:
        path = save_model(small, tmp_path / "x.safetensors")
    finally:
        os.umask(umask)
    assert stat.S_IMODE(path.stat().st_mode) == 0o644


def test_a_failed_save_leaves_the_old_file(small, tmp_path, monkeypatch):
    path = save_model(small, tmp_path / "x.safetensors")
    before = path.read_bytes()

    def full(*args, **options):
        raise OSError("No space left on device")

    monkeypatch.setattr(files, "save", full)
    with pytest.raises(OSError, match="No space"):
        save_model(small, path)
    assert path.read_bytes() == before
    assert len(list(tmp_path.iterdir())) == 2


def test_other_suffixes_are_refused(small, tmp_path):
    with pytest.raises(CheckpointError, match=r"ends with .safetensors, got '.*model.pth'"):
        save_model(small, tmp_path / "model.pth")


# --- find --------------------------------------------------


def test_folder_means_best_then_last_then_the_only_one(small, tmp_path):
    save_model(small, tmp_path / "a" / "last.safetensors")
    assert find_checkpoint(tmp_path / "a").name == "last.safetensors"
    save_model(small, tmp_path / "a" / "best.safetensors")
    assert find_checkpoint(str(tmp_path / "a")).name == "best.safetensors"
    save_model(small, tmp_path / "b" / "paper-r50.safetensors")
    assert find_checkpoint(tmp_path / "b").name == "paper-r50.safetensors"


def test_what_is_not_found_is_explained(small, tmp_path):
    with pytest.raises(FileNotFoundError, match="no model 'nothing': it is no shipped model"):
        load_model("nothing")
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileNotFoundError, match="it holds no model at all"):
        load_model(tmp_path / "empty")
    for name in ("x", "y"):
        save_model(small, tmp_path / "two" / f"{name}.safetensors")
    with pytest.raises(FileNotFoundError, match=r"it holds x.safetensors, y.safetensors: name one"):
        load_model(tmp_path / "two")
    torch.save({}, tmp_path / "weights.pth")
    with pytest.raises(CheckpointError, match=r"maunet-lite convert .*weights.pth"):
        load_model(tmp_path / "weights.pth")


@pytest.mark.parametrize(
    "name", shipped_models() or [pytest.param("none", marks=pytest.mark.skip("none shipped"))]
)
def test_shipped_models_load_by_name(name):
    model = load_model(name)
    assert not model.training
    assert sum(p.numel() for p in model.parameters()) > 0
    assert all(value.isfinite().all() for value in model.state_dict().values())


# --- folders that travel --------------------------------------------------


def test_a_shared_folder_comes_back_whole(small, tmp_path):
    folder = small.save_pretrained(tmp_path / "mine", {"licence": "cc0-1.0", "epoch": 3})
    assert sorted(file.name for file in folder.iterdir()) == ["README.md", "config.json", "model.safetensors"]
    for again in (
        MAUNet.from_pretrained(folder),
        load_model(folder),
        load_model(folder / "model.safetensors"),
    ):
        assert again.config == SMALL
        assert torch.equal(output(again), output(small))
    assert torch.equal(output(MAUNet.from_pretrained(folder)), output(small))
    assert read_record(folder)["record"] == {"licence": "cc0-1.0", "epoch": 3}
    assert json.loads((folder / "config.json").read_text())["encoder"] == "lite:2"  # where hubs look for it
    card = ModelCard.load(folder / "README.md")
    assert (card.data.license, card.data.library_name, card.data.metrics) == (
        "cc0-1.0",
        "maunet-lite",
        ["f1"],
    )


def test_a_pair_of_the_same_name_is_still_read(small, tmp_path):
    old = save_model(small, tmp_path / "old.safetensors", {"epoch": 3})
    old.with_suffix(".json").rename(tmp_path / "model.json")
    path = old.rename(tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text('{"data": "cells"}')  # of the run
    assert load_model(tmp_path).config == SMALL
    assert read_record(path)["record"] == {"epoch": 3}


def test_the_settings_of_a_run_are_not_overwritten(small, tmp_path):
    (tmp_path / "config.json").write_text('{"data": "cells"}')
    with pytest.raises(CheckpointError, match=r"config.json belongs to something else, such as a run"):
        small.save_pretrained(tmp_path)
    assert [file.name for file in tmp_path.iterdir()] == ["config.json"]
    assert (tmp_path / "config.json").read_text() == '{"data": "cells"}'


def test_a_repository_of_the_hub_is_read_without_a_network_once_it_is_there(small, tmp_path):
    repository = tmp_path / "models--someone--cells"  # as the hub's own library keeps what it has downloaded
    small.save_pretrained(repository / "snapshots" / "abc")
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text("abc")
    offline = {"cache_dir": tmp_path, "local_files_only": True}
    assert torch.equal(output(MAUNet.from_pretrained("someone/cells", **offline)), output(small))
    with pytest.raises(FileNotFoundError, match=r"no folder someone/other here, and no such repository"):
        MAUNet.from_pretrained("someone/other", **offline)
    with pytest.raises(FileNotFoundError, match="no model 'nothing': it is no shipped model"):
        MAUNet.from_pretrained("nothing")


@pytest.mark.parametrize("name", shipped_models())
def test_shipped_cards_say_what_is_on_record(name):
    record, parameters = read_record(name)["record"], sum(p.numel() for p in load_model(name).parameters())
    text = find_checkpoint(name).with_name("README.md").read_text(encoding="utf-8")
    assert text == model_card(name, parameters, record)
    card = ModelCard(text)
    assert record["scores"]["all"]["mean_f1"] in [result.metric_value for result in card.data.eval_results]
    assert {"license", "datasets", "metrics"} <= card.data.to_dict().keys()
    assert sum(record["sources"].values()) == sum(record["licences"].values())


# --- damage --------------------------------------------------


def test_a_cut_file_is_refused(small, tmp_path):
    path = save_model(small, tmp_path / "x.safetensors")
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(CheckpointError, match="is damaged .* copy or download it again"):
        load_model(path)


def test_weights_of_another_architecture_are_refused(small, tmp_path):
    path = save_model(small, tmp_path / "x.safetensors")
    state = load_file(path)
    with safe_open(path, framework="pt") as file:
        metadata = file.metadata()
    del state["class_head.conv.bias"]
    state["skips.0.conv1.weight"] = torch.zeros(2, 2)
    save_file(state, path, metadata=metadata)
    with pytest.raises(
        CheckpointError,
        match=r"missing: class_head.conv.bias; of another shape: skips.0.conv1.weight \(2, 2\)",
    ):
        load_model(path)


def test_a_damaged_record_is_named_and_costs_nothing_else(small, tmp_path, caplog):
    path = save_model(small, tmp_path / "x.safetensors", {"epoch": 3})
    path.with_suffix(".json").write_text("{")
    stored = read_record(path)
    assert stored["config"]["encoder"] == small.config.encoder
    assert stored["record"] == {}
    assert "x.json is damaged" in caplog.text
    load_model(path)


def test_foreign_safetensors_are_refused(tmp_path):
    save_file({"weight": torch.zeros(2)}, tmp_path / "x.safetensors")
    with pytest.raises(
        CheckpointError, match=r"says nothing about its architecture and x.json is not beside it"
    ):
        load_model(tmp_path / "x.safetensors")


# --- the authors' files --------------------------------------------------


@pytest.fixture(scope="module")
def published() -> dict[str, torch.Tensor]:
    """Zeros under the published keys of paper-wr50, the smaller of the two."""
    keys = json.loads((DATA / "authors_res50wt_unetr.json").read_text())["state_dict"]
    kinds = {True: torch.int64, False: torch.float32}
    return {key: torch.zeros(shape, dtype=kinds[key.endswith("num_batches_tracked")]) for key, shape in keys}


@pytest.mark.parametrize("form", ["file", "parallel", "bare", "numpy"])
def test_every_form_of_the_file_is_read(published, tmp_path, form):
    few = dict(list(published.items())[:3])
    prefix = "module." if form == "parallel" else ""
    content = {prefix + key: value for key, value in few.items()}
    if form != "bare":
        content = {
            "model_state_dict": content,
            "optimizer_state_dict": {"state": {}},
            "epoch": 7,
            "loss": 0.25,
        }
    if form == "numpy":
        content["loss"] = [np.float64(0.25), np.float32(0.5)]
    torch.save(content, tmp_path / "best.pth")
    assert list(read_published(tmp_path / "best.pth")) == list(few)
    assert list(read_published(content)) == list(few)


def test_convert_writes_what_load_model_reads(published, tmp_path):
    torch.save({"model_state_dict": published}, tmp_path / "best_Dice_model.pth")
    path = convert_authors(tmp_path / "best_Dice_model.pth", "paper-wr50", tmp_path / "out", half=True)
    assert path == tmp_path / "out" / "paper-wr50.safetensors"
    model = load_model(tmp_path / "out")
    assert model.config.encoder == "wide_resnet50_2:4"
    record = read_record(path)["record"]
    assert record["source"] == "best_Dice_model.pth"
    assert len(record["sha256"]) == 64


class Bomb:
    """Pickles into a call."""

    def __reduce__(self):
        return (os.mkdir, ("bomb",))


def test_code_in_a_file_is_never_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.save({"model_state_dict": {}, "extra": Bomb()}, "evil.pth")
    with pytest.raises(CheckpointError, match=r"would run code from it. That is refused") as error:
        import_authors("evil.pth", "paper-wr50")
    assert "weights_only=False" in str(error.value)
    assert not Path("bomb").exists()


def test_files_that_are_no_checkpoints_are_refused(tmp_path):
    (tmp_path / "page.pth").write_text("<html>quota exceeded</html>")
    with pytest.raises(CheckpointError, match=r"page.pth"):
        import_authors(tmp_path / "page.pth", "paper-r50")
    (tmp_path / "plain.pth").write_bytes(pickle.dumps({"a": 1}, protocol=2))
    with pytest.raises(CheckpointError, match=r"plain.pth"):
        import_authors(tmp_path / "plain.pth", "paper-r50")
    torch.save([1, 2], tmp_path / "list.pth")
    with pytest.raises(CheckpointError, match="holds a list; expected a dictionary of tensors"):
        import_authors(tmp_path / "list.pth", "paper-r50")
    with pytest.raises(FileNotFoundError, match="no file .*none.pth"):
        import_authors(tmp_path / "none.pth", "paper-r50")
    with pytest.raises(CheckpointError, match="'epoch' is a int"):
        import_authors({"epoch": 3}, "paper-r50")
    with pytest.raises(CheckpointError, match="got an empty dictionary"):
        import_authors({"model_state_dict": {}}, "paper-r50")


def without(published: dict, pattern: str) -> dict:
    return {key: value for key, value in published.items() if not re.search(pattern, key)}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda p: p, r"These are the weights of 'paper-wr50': name that preset"),
        (lambda p: without(p, "coder|^out"), r"looks like an encoder alone.* imagenet=True"),
    ],
)
def test_mismatch_with_paper_r50_is_explained(published, change, message):
    with pytest.raises(CheckpointError, match=message):
        import_authors(change(published), "paper-r50")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda p: (
                p | {"out.conv.conv.weight": torch.zeros(3, 24, 1, 1), "out.conv.conv.bias": torch.zeros(3)}
            ),
            r"head has 3 channels, the network asked for has 4.* without the proxy: pass proxy=False",
        ),
        (
            lambda p: (
                p | {"out.conv.conv.weight": torch.zeros(7, 24, 1, 1), "out.conv.conv.bias": torch.zeros(7)}
            ),
            r"head has 7 channels.* fine-tuned for other classes",
        ),
        (lambda p: without(p, "_2|out_2"), r"There is no distance decoder: pass distance=False"),
        (
            lambda p: without(p, r"^res\.layer2\.0\.conv1"),
            r"missing: encoder.layer2.0.conv1.weight\). The file is incomplete",
        ),
        (lambda p: p | {"extra.weight": torch.zeros(1)}, r"not known: extra.weight"),
        (
            lambda p: p | {"encoder1.layer.conv1.conv.weight": torch.zeros(24, 1, 3, 3)},
            r"of another shape: skips.0.conv1.weight \(24, 1, 3, 3\), expected \(24, 3, 3, 3\)",
        ),
        (
            lambda p: p | {"res.conv1.weight": torch.full((64, 3, 7, 7), torch.nan)},
            r"encoder.conv1.weight that are infinite or no numbers",
        ),
    ],
)
def test_mismatch_with_paper_wr50_is_explained(published, change, message):
    with pytest.raises(CheckpointError, match=message):
        import_authors(change(published), "paper-wr50")


def test_weights_of_ablations_are_imported(published):
    alone = without(published, "_2")
    alone |= {"out.conv.conv.weight": torch.zeros(3, 24, 1, 1), "out.conv.conv.bias": torch.zeros(3)}
    model = import_authors(alone, "paper-wr50", proxy=False, distance=False)
    assert model.config.distance is False
    assert not model.training


def test_only_the_published_presets_are_imported(published):
    with pytest.raises(CheckpointError, match="published no 'lite', only paper-r50 and paper-wr50"):
        import_authors(published, "lite")


def test_importing_does_not_share_memory(published):
    model = import_authors(published, "paper-wr50")
    model.class_head.conv.bias.data.fill_(1)
    assert published["out.conv.conv.bias"].eq(0).all()


def test_unknown_keys_are_not_translated():
    assert translate("somewhere.else", 5) == "somewhere.else"
    assert HEAD.fullmatch("out_3.conv.conv.weight") is None
