"""Correct, retrain, segment again: the round that edits are part of, without a screen.

Images wait in a queue, the most doubtful first. What is saved goes into a dataset folder, from which the
network is fine-tuned; it segments what has not been corrected yet, and the queue is sorted anew.
"""

from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from maunet_lite import data
from maunet_lite.course.correction.edits import Draft
from maunet_lite.export import write_table
from maunet_lite.scale import find_images, segment_files


@dataclass(eq=False)
class Picture:
    """An image of the queue.

    Attributes
    ----------
    path : Path
    reading : dict
        Options of `data.read_image`.
    labels : Path or None
        The label map to begin with; where there is none, the network makes one.
    doubt : float
        1 minus the mean score of its cells, see `inference.score_cells`; NaN where nobody has looked.
    done : bool
        Its label map is in the dataset: fine-tuning learns from it.
    changed : bool
        There are edits that have not been saved.
    draft : Draft or None
        Its label map and the edits, once it has been opened.
    """

    path: Path
    reading: dict[str, Any]
    labels: Path | None = None
    doubt: float = np.nan
    done: bool = False
    changed: bool = False
    draft: Draft | None = None


class Session:
    """Images to correct, and the way from corrections to a better network.

    Parameters
    ----------
    images : path
        An image, a folder of them, or a dataset folder (with ``images/``).
    labels : path, optional
        The folder that ``maunet-lite segment`` wrote: label maps to begin with, and the order of the queue
        from the scores in its ``summary.csv``. An image without a label map is segmented when it is opened.
    out : path, optional
        The dataset folder for what is saved. By default `images` if that is one, else ``corrected``. Label
        maps that are there already count, and can be corrected again.
    model : str or Path
        Name or file of the network that segments, and with which every fine-tuning begins.
    diameter : float, optional
        Of the cells in pixels; estimated by default.
    **reading
        ``channel``, ``plane``, ``project``, see `data.read_image`.

    Attributes
    ----------
    queue : list of Picture
        The most doubtful first, those whose label map is in the dataset last.
    picture, pixels : Picture, numpy.ndarray
        Which is open, and its pixels as read.
    """

    def __init__(
        self, images: str | Path, labels: str | Path | None = None, *, out: str | Path | None = None,
        model: str | Path = "lite", diameter: float | None = None, **reading: Any,
    ) -> None:  # fmt: skip
        self.start_from = self.model = model
        self.diameter, self.out = diameter, Path(out or "corrected")
        if (Path(images) / "images").is_dir():
            there, self.out = data.load_dataset(images, **reading), Path(out or images)
            at = range(len(there))
            self.queue = [Picture(there.image_path(k), there.reading(k), there.label_path(k)) for k in at]
        else:
            self.queue = [Picture(path, reading) for path in find_images([images])]
        for picture in self.queue:
            own = self.file_of(picture)
            picture.labels = own if own.exists() else picture.labels
            picture.done = picture.labels is not None and picture.labels.parent == own.parent
        self._take_up(Path(labels or self.out / "suggested"))
        self.open(0)

    def open(self, index: int | None = None) -> None:
        """Show an image of the queue, by default the same one anew; unsaved edits of the last one wait."""
        picture = self.picture if index is None else self.queue[index]
        pixels = data.read_image(picture.path, **picture.reading)
        if picture.draft is None:
            if picture.labels is None:
                picture.labels = self._suggest(picture)
            picture.draft = Draft(data.read_labels(picture.labels))
        data.validate_image(pixels, picture.draft.labels.shape)
        self.picture, self.pixels = picture, pixels

    def edit(self, edit: str, points: np.ndarray, radius: float = 0) -> None:
        """Change the open label map, see `Draft.apply`."""
        self.picture.draft.apply(edit, points, radius)
        self.picture.changed = True

    def undo(self, again: bool = False) -> None:
        """Take the last edit back, or do it again, see `Draft.undo`."""
        self.picture.draft.undo(again)
        self.picture.changed = True

    def save(self) -> str:
        """Write the open image and its label map into the dataset, and say where.

        The label map appears complete or not at all; its TIFF description says when it was corrected.

        Raises
        ------
        FileExistsError
            If the dataset holds another image of that name.
        """
        picture, path, image = self.picture, self.file_of(self.picture), self.picture.path
        if image.parent.resolve() != (self.out / "images").resolve():
            image = self.out / "images" / f"{data.stem_of(image)}.tiff"
            if image.exists() and not np.array_equal(data.read_image(image), self.pixels):
                raise FileExistsError(f"{image} is another image of that name: choose another folder (out=)")
            data.write_image(image, self.pixels)
        note = f"corrected by hand on {date.today()}, {len(picture.draft.done)} edits"
        size = data.pixel_size(picture.path)
        data.write_labels(path, picture.draft.labels, pixel_size=size, description=note)
        self._list(image.name)
        picture.labels, picture.done, picture.changed = path, True, False
        return f"saved {path}"

    def fine_tune(self, minutes: float = 5, **changes: Any) -> str:
        """Fine-tune the network that the session began with on the dataset, and say what it brought.

        Parameters
        ----------
        minutes : float
        **changes
            Other fields of `training.TrainConfig`. Runs go to ``runs/1``, ``runs/2``, … in the dataset.
        """
        from maunet_lite.training import recipe, train

        folder = self.out / "runs" / str(1 + len(list(self.out.glob("runs/*"))))
        config = {"minutes": minutes, "data": str(self.out), "start_from": str(self.start_from)} | changes
        result = train(recipe("lite").override(out=str(folder), **config), progress=False)
        self.model = result.best
        scores = f"F1 on {result.split} {result.start_score:.2f} before, {result.best_score:.2f} at best"
        return f"{result.steps} steps, {scores}: {result.best}. Now segment again."

    def segment_again(self) -> str:
        """Segment what is neither in the dataset nor being corrected, and sort the queue by doubt."""
        waiting = self._waiting()
        for picture in waiting:
            self._suggest(picture)
        self._take_up(self.out / "suggested")
        self.open()
        return f"{len(waiting)} images segmented, the most doubtful come first"

    def _list(self, image: str) -> None:
        """Add an image to the dataset's table, if it has one: what the table does not name is not used."""
        if (self.out / "metadata.csv").exists():
            table = data.load_dataset(self.out).table.drop(columns=["label", "labelled"])
            if image not in set(table["image"]):
                row = pd.DataFrame([{"image": image, "modality": "unknown", "split": "train"}])
                write_table(self.out / "metadata.csv", pd.concat([table, row]))

    def file_of(self, picture: Picture) -> Path:
        """Return where the corrected label map of an image goes."""
        return self.out / "labels" / f"{data.stem_of(picture.path)}_label.tiff"

    def _waiting(self) -> list[Picture]:
        return [picture for picture in self.queue if not (picture.done or picture.changed)]

    def _suggest(self, picture: Picture) -> Path:
        """Let the network segment an image, and return its label map."""
        options = {"diameter": self.diameter, "table": True, "progress": False, **picture.reading}
        (outcome,) = segment_files([picture.path], self.out / "suggested", self.model, **options)
        if outcome.status == "failed":
            raise ValueError(f"{picture.path.name}: {outcome.reason}")
        return outcome.labels

    def _take_up(self, folder: Path) -> None:
        """Begin with the label maps that `segment_files` left in a folder; sort the queue by their doubt."""
        summary = folder / "summary.csv"
        table = pd.read_csv(summary, dtype={"image": str}) if summary.exists() else pd.DataFrame()
        table = table.reindex(columns=["image", "cells", "score"])  # NaN where there is none
        unsure = 1 - table["score"].mask(table["cells"] == 0, 0)  # an image without a cell comes first
        doubts = dict(zip(table["image"], unsure, strict=True))
        for picture in self._waiting():
            picture.doubt = doubts.get(picture.path.name, picture.doubt)
            if (labels := folder / self.file_of(picture).name).exists():
                picture.labels, picture.draft = labels, None
        self.queue.sort(key=lambda p: (p.done, -np.nan_to_num(p.doubt, nan=-1), p.path.name))
