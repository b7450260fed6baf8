"""The round: a queue, edits, what is saved where, fine-tuning, and what the tool sends to the page."""

from __future__ import annotations

import json
import zlib
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
import tifffile

import maunet_lite as ml
from maunet_lite.course import Session, correct
from maunet_lite.data import check_folder, load_dataset, pixel_size, write_image, write_labels

LEFT = np.zeros((40, 60), np.int32)
LEFT[5:20, 5:25] = 3


@pytest.fixture
def folder(tmp_path):
    """Return three images and what a network has found in them: one cell, whose id is 3."""
    for k, name in enumerate(("a", "b", "c")):
        image = np.where(LEFT > 0, 200, 20 + k).astype(np.uint8)
        write_image(tmp_path / "images of mine" / f"{name}.png", image)
        write_labels(tmp_path / "found" / f"{name}_label.tiff", LEFT)
    table = pd.DataFrame({"image": ["a.png", "b.png", "c.png"], "cells": 1, "score": [0.875, 0.5, 0.75]})
    table.to_csv(tmp_path / "found" / "summary.csv", index=False)
    return tmp_path


@pytest.fixture
def session(folder):
    return Session(folder / "images of mine", folder / "found", out=folder / "mine")


def names(session):
    return [picture.path.name for picture in session.queue]


def test_the_most_doubtful_image_comes_first(session, folder):
    assert names(session) == ["b.png", "c.png", "a.png"]
    assert session.picture.path.name == "b.png"
    assert np.array_equal(session.picture.draft.labels, LEFT)
    (folder / "found" / "summary.csv").write_text("image,cells,score\na.png,0,\nb.png,1,0.5\n")
    assert names(Session(folder / "images of mine", folder / "found")) == ["a.png", "b.png", "c.png"]
    (folder / "found" / "summary.csv").write_text("image,cells\nb.png,1\n")  # of an older version
    assert names(Session(folder / "images of mine", folder / "found")) == ["a.png", "b.png", "c.png"]
    (folder / "found" / "summary.csv").unlink()
    assert names(Session(folder / "images of mine", folder / "found")) == ["a.png", "b.png", "c.png"]


def test_saving_makes_a_dataset_of_what_was_corrected(session, folder):
    session.edit("new", [(30, 30), (30, 40), (38, 40)])
    session.edit("delete", [(10, 10)])
    session.undo()
    assert session.save() == f"saved {folder / 'mine' / 'labels' / 'b_label.tiff'}"

    assert check_folder(folder / "mine") == []
    (sample,) = load_dataset(folder / "mine")
    assert np.array_equal(sample.labels, session.picture.draft.labels)
    assert set(np.unique(sample.labels)) == {0, 3, 4}
    assert np.array_equal(sample.image, ml.read_image(folder / "images of mine" / "b.png"))
    with tifffile.TiffFile(folder / "mine" / "labels" / "b_label.tiff") as file:
        assert file.pages[0].description.startswith("corrected by hand on 20")
        assert file.pages[0].description.endswith(", 1 edits")
    assert sorted(path.name for path in (folder / "mine").rglob("*.*")) == ["b.tiff", "b_label.tiff"]
    assert np.array_equal(ml.read_labels(folder / "found" / "b_label.tiff"), LEFT)  # stays as it was


def test_the_next_session_takes_up_what_was_corrected(session, folder):
    session.edit("delete", [(10, 10)])
    session.save()
    again = Session(folder / "images of mine", folder / "found", out=folder / "mine")
    assert names(again) == ["c.png", "a.png", "b.png"]
    assert [picture.done for picture in again.queue] == [False, False, True]
    again.open(2)
    assert not again.picture.draft.labels.any()


def test_edits_wait_while_another_image_is_open(session):
    session.edit("delete", [(10, 10)])
    session.open(1)
    assert session.picture.draft.labels.any()
    session.open(0)
    assert not session.picture.draft.labels.any()
    assert [picture.changed for picture in session.queue] == [True, False, False]


def test_a_dataset_is_corrected_in_place_and_read_as_its_table_says(tmp_path):
    stack = np.stack([np.full((40, 60), 9, np.uint8), np.where(LEFT > 0, 200, 10).astype(np.uint8)])
    (tmp_path / "images").mkdir()
    half_a_micrometre = {"resolution": (20_000, 20_000), "resolutionunit": "CENTIMETER"}
    tifffile.imwrite(tmp_path / "images" / "s.tif", stack, photometric="minisblack", **half_a_micrometre)
    (tmp_path / "metadata.csv").write_text("image,plane\ns.tif,2\n")
    write_labels(tmp_path / "labels" / "s_label.tiff", LEFT)
    session = Session(tmp_path)
    assert session.pixels.max() == 200
    session.edit("split", [(0, 12), (39, 12)])
    session.save()
    assert len(np.unique(load_dataset(tmp_path).labels(0))) == 3
    assert check_folder(tmp_path) == []
    assert pixel_size(tmp_path / "labels" / "s_label.tiff") == pytest.approx(0.5)
    assert [path.name for path in (tmp_path / "images").iterdir()] == ["s.tif"]


def test_what_is_saved_stands_in_the_table_of_the_dataset(session, folder):
    write_image(folder / "mine" / "images" / "old.png", np.zeros((4, 5), np.uint8))
    (folder / "mine" / "metadata.csv").write_text("Image;Modality;Day\nold.png;DIC;7\n")
    session.save()
    session.save()  # once is enough
    table = load_dataset(folder / "mine").table
    assert table["image"].tolist() == ["old.png", "b.tiff"]
    assert table["split"].tolist() == ["train", "train"]
    assert table["labelled"].tolist() == [False, True]
    assert (table["modality"][0], table["day"][0]) == ("dic", 7)


def test_another_image_of_the_same_name_is_not_replaced(session, folder):
    write_image(folder / "mine" / "images" / "b.tiff", np.zeros((4, 5), np.uint8))
    with pytest.raises(FileExistsError, match="another image of that name"):
        session.save()
    assert not (folder / "mine" / "labels").exists()


def test_a_label_map_of_another_size_is_refused(folder):
    write_labels(folder / "found" / "b_label.tiff", LEFT.T)
    with pytest.raises(ValueError, match=r"\(40, 60\).*\(60, 40\)"):
        Session(folder / "images of mine", folder / "found")


def test_what_has_no_labels_is_segmented_when_it_is_opened(folder):
    session = Session(folder / "images of mine", out=folder / "mine", diameter=18)
    expected = ml.segment(session.pixels, diameter=18)
    assert np.array_equal(session.picture.draft.labels, expected)


def test_what_is_not_corrected_is_segmented_again_and_sorted_by_doubt(session, folder):
    session.save()
    session.open(1)
    session.edit("delete", [(10, 10)])  # being corrected: the network must not touch it
    assert session.segment_again() == "1 images segmented, the most doubtful come first"
    assert session.picture.path.name == "c.png"
    assert not session.picture.draft.labels.any()
    seen = next(picture for picture in session.queue if picture.path.name == "a.png")
    assert 0 <= seen.doubt <= 1
    assert seen.doubt != 0.125  # as the table said
    assert seen.labels == folder / "mine" / "suggested" / "a_label.tiff"
    assert check_folder(folder / "mine") == []


def test_fine_tuning_begins_with_the_first_network_and_learns_from_the_dataset(session, folder, monkeypatch):
    import maunet_lite.training as training

    asked = []

    def train(config, *, progress):
        asked.append(config)
        (folder / "mine" / "runs" / str(len(asked))).mkdir(parents=True)
        return training.run.TrainResult(Path(config.out), 7, 0.9, False, "val", 0.5)

    monkeypatch.setattr(training, "train", train)
    told = session.fine_tune(minutes=2)
    assert told.startswith("7 steps, F1 on val 0.50 before, 0.90 at best: ")
    assert session.model == folder / "mine" / "runs" / "1" / "last.safetensors"
    session.fine_tune(minutes=2)
    assert [config.start_from for config in asked] == ["lite", "lite"]
    assert [config.out for config in asked] == [str(folder / "mine" / "runs" / k) for k in "12"]
    assert asked[0].data == str(folder / "mine")
    assert asked[0].minutes == 2


@pytest.mark.slow
def test_the_whole_round(session, folder):
    session.edit("new", [(30, 30), (30, 40), (38, 40), (38, 30)])
    session.save()
    with pytest.warns(UserWarning, match="no split 'val'"):
        told = session.fine_tune(steps=1, minutes=None, batch_size=1, patch=64, device="cpu")
    assert told.startswith("1 steps, F1 on train ")
    assert session.model.exists()
    assert session.segment_again() == "2 images segmented, the most doubtful come first"
    assert check_folder(folder / "mine") == []


# --- the tool ---------------------------------------------------------------------------------------------


class Page:
    """A page that keeps what it is told, as `widget.js` does."""

    def __init__(self, tool) -> None:
        self.states, self.bytes = [], 0
        tool.send = self.hear
        self.tool = tool

    def hear(self, content, buffers=()):
        self.bytes += sum(map(len, buffers))
        if content["show"] == "image":
            self.image = cv2.imdecode(np.frombuffer(buffers[0], np.uint8), cv2.IMREAD_UNCHANGED)
            self.labels = np.zeros(content["shape"], np.int32)
        elif content["show"] == "labels":
            top, left, height, width = content["box"]
            part = np.frombuffer(zlib.decompress(buffers[0]), "<i4").reshape(height, width)
            self.labels[top : top + height, left : left + width] = part
        else:
            self.states.append(json.loads(json.dumps(content)))  # as it travels


@pytest.fixture
def page(folder):
    page = Page(correct(folder / "images of mine", folder / "found", out=folder / "mine"))
    page.tool.act("open")
    return page


def test_the_page_has_the_same_labels_after_every_answer(page):
    assert page.image.shape == (40, 60, 3)
    draft = page.tool.session.picture.draft
    steps = [
        {"do": "edit", "edit": "split", "points": [[0, 12], [30, 12]], "radius": 6},
        {"do": "edit", "edit": "erase", "points": [[6, 6]], "radius": 2},
        {"do": "undo"},
        {"do": "undo", "again": True},
    ]
    for step in steps:
        page.bytes = 0
        page.tool.act(**step)
        assert np.array_equal(page.labels, draft.labels)
        assert page.bytes < 200  # of a box, not of the image
    assert (page.states[-1]["undo"], page.states[-1]["redo"]) == (2, 0)
    page.tool.act("open", index=1)
    assert np.array_equal(page.labels, LEFT)
    assert page.states[-1]["index"] == 1
    assert page.states[-1]["queue"][0] == ["b.png", "0.5", False, True]


def test_what_fails_is_told_and_nothing_changes(page):
    page.tool.act("edit", edit="delete", points=[[39, 59]])
    assert page.states[-1]["failed"]
    assert "delete changed nothing" in page.states[-1]["text"]
    assert np.array_equal(page.labels, LEFT)
    page.tool.act("save")
    assert not page.states[-1]["failed"]


def test_the_network_works_in_the_background_one_thing_at_a_time(page, monkeypatch):
    import threading

    go, calls = threading.Event(), []

    def wait(minutes):
        calls.append(minutes)
        assert go.wait(20)
        return "done"

    monkeypatch.setattr(page.tool.session, "fine_tune", wait)
    page.tool.act("fine_tune", minutes=2)
    page.tool.act("segment_again")  # refused while the other goes on
    page.tool.act("edit", edit="delete", points=[[10, 10]])  # a person may go on
    assert not page.labels.any()
    assert page.states[-1]["working"] == "fine_tune"
    (thread,) = (t for t in threading.enumerate() if getattr(t, "_target", None) == page.tool._run)
    go.set()
    thread.join(20)
    assert calls == [2]
    assert page.states[-1]["text"] == "done"
    assert page.states[-1]["working"] == ""
