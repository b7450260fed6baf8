"""What no picture of an experiment tells, for notebook 08: wells, treatments, pixel size, the camera."""

import difflib
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from maunet_lite.data import open_slide
from maunet_lite.scale import find_images

WELL = r"^([A-Z]\d+)"
# what is known of the simulated experiment, see `own_images.photograph_experiment`
SIMULATED = {
    "pixel_size": 0.65,
    "camera_offset": 100,
    "rejected": ("B2_s1.tif", "C1_s1.tif"),  # out of focus, nearly empty
    "treatment": {"B*": "control", "C*": "drug"},
}


@dataclass
class Plate:
    """An experiment: where its pictures are, and what no picture tells. Refuses what does not fit them.

    Attributes
    ----------
    folder : Path
        Holds the pictures; given a folder with a folder ``images``, that one.
    pixel_size : float
        Micrometres.
    camera_offset : float
        Counts of the camera in the dark.
    rejected : sequence of str
        Names of pictures that are left out.
    well : str
        Regular expression that finds the well in a picture's name: its first group, or all of it.
    treatment : dict
        Pattern of wells (``"B*"``) → treatment; empty: all are "mine".
    reading : dict
        ``channel`` and ``plane``, see `data.read_image`; tried on the first picture.

    Raises
    ------
    FileNotFoundError
        If the folder does not exist, or holds no picture.
    ValueError
        Names the value, what was expected, and what to do.
    """

    folder: str | Path
    pixel_size: float | None
    camera_offset: float | None
    rejected: Sequence[str] = ()
    well: str = WELL
    treatment: Mapping[str, str] = field(default_factory=dict)
    reading: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        pictures = find_images([self.folder])
        names, self.folder = [path.name for path in pictures], pictures[0].parent
        for name, value, least, expected in (
            ("PIXEL_SIZE", self.pixel_size, 1e-9, "micrometres per pixel, above 0"),
            ("CAMERA_OFFSET", self.camera_offset, 0, "counts in the dark, 0 if they have been taken off"),
        ):
            number = isinstance(value, int | float) and not isinstance(value, bool)
            if not number or not least <= value < math.inf:
                raise ValueError(
                    f"{name} is {value!r}: for an experiment of yours expected {expected}; set it in the "
                    "cell of parameters"
                )
        self._check_names(names)
        with open_slide(pictures[0], memory=None, **self.reading) as slide:
            if slide.channels > 1 and not (slide.colours or self.reading.get("channel")):
                raise ValueError(f"{slide.name}: CHANNEL is None: which of {slide.channels} has the cells?")

    def well_of(self, name: str) -> str:
        """Return the well of a picture.

        Raises
        ------
        ValueError
            If `well` finds none in the name.
        """
        found = re.search(self.well, name)
        text = found and found[min(1, found.re.groups)]
        if not text:
            raise ValueError(
                f"WELL is {self.well!r} and finds no well in the name {name!r}: expected a regular "
                r"expression whose first group is the well; r'_([A-Z]\d+)_' finds A01 in 'plate7_A01_s1.tif'"
            )
        return text

    def treatment_of(self, well: str) -> str:
        """Return the treatment of a well.

        Raises
        ------
        ValueError
            If no pattern fits the well, or two that say different things.
        """
        treatments = self.treatment or {"*": "mine"}
        found = {name for pattern, name in treatments.items() if fnmatchcase(well, pattern)}
        if len(found) != 1:
            raise ValueError(
                f"TREATMENT is {self.treatment} and says {' and '.join(sorted(found)) or 'nothing'} of well "
                f"{well!r}: expected one treatment for each well; '{well}' fits this well, '{well[0]}*' all "
                f"that begin with {well[0]}, '?{well[1:] or '1'}' those of a column (or put the well's "
                "pictures into REJECTED)"
            )
        return found.pop()

    def _check_names(self, names: list[str]) -> None:
        for name in set(self.rejected) - set(names):
            close = difflib.get_close_matches(name, names, 1) or names[:1]
            raise ValueError(
                f"REJECTED has {name!r}, which is not in {self.folder}: expected names of pictures, with "
                f"their endings, such as {close[0]!r}"
            )
        if set(names) <= set(self.rejected):
            raise ValueError(f"REJECTED has all {len(names)} pictures of {self.folder}: keep some of them")
        try:
            everywhere = {self.well_of(name) for name in names if re.search(self.well, name)}
        except re.error as error:
            raise ValueError(
                f"WELL is {self.well!r}, which is no regular expression ({error}): use one such as {WELL!r}"
            ) from error
        wells = sorted({self.well_of(name) for name in names if name not in self.rejected})
        for well in wells:
            self.treatment_of(well)
        for pattern in self.treatment:
            if not any(fnmatchcase(well, pattern) for well in everywhere):
                raise ValueError(
                    f"TREATMENT has {pattern!r}, which fits none of the wells {', '.join(wells)}: mend the "
                    "pattern, or WELL, or take it away"
                )


def describe_plate(folder: str | Path, *, simulated: bool = False, **known: Any) -> Plate:
    """Put together what is known of an experiment.

    Parameters
    ----------
    folder : path
        The pictures, or a folder ``images`` with them.
    simulated : bool
        The folder is `own_images.photograph_experiment`'s: what is None or empty is taken from `SIMULATED`.
    **known
        What `Plate` takes: pixel_size, camera_offset, rejected, well, treatment, reading.

    Examples
    --------
    >>> import tempfile
    >>> from maunet_lite.course.figures.own_images import photograph_experiment
    >>> folder = photograph_experiment(tempfile.mkdtemp(), sites=1)
    >>> plate = describe_plate(folder, pixel_size=None, simulated=True)
    >>> plate.pixel_size, plate.well_of("C3_s1.tif"), plate.treatment_of("C3")
    (0.65, 'C3', 'drug')
    """
    if simulated:
        known = SIMULATED | {name: value for name, value in known.items() if value not in (None, [], {}, ())}
    return Plate(folder, **known)
