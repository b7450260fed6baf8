"""A folder of images as a microscope and its users leave it: what notebook 08 starts from.

The cells carry a membrane dye: bright rims, dark inside, a kind that the shipped network has not been
trained on. Everything that is wrong with the folder is wrong with real ones: images lie loose, names
differ, one acquisition has two pages, one was cut off while copying, label maps are masks or lie on their
side, the table has gaps.
"""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

import numpy as np
import pandas as pd
import tifffile

from maunet_lite.data import Simulated, blur, place_cells, round_outline, smooth_noise
from maunet_lite.scale import find_images

CAMERA_OFFSET = 100  # counts of a camera in the dark
WELLS = {"control": ("B1", "B2", "B3"), "drug": ("C1", "C2", "C3")}
PIXEL_SIZE = 0.65  # micrometres
REJECTED = ("B2_s1.tif", "C1_s1.tif")  # of the simulated experiment: out of focus, nearly empty
TREATMENT = {"B*": "control", "C*": "drug"}
WELL = r"^([A-Z]\d+)"


def photograph(
    rng: np.random.Generator,
    shape: tuple[int, int] = (256, 320),
    *,
    diameter: float = 34,
    density: float = 1.0,
    light: float = 1.0,
    defocus: float = 1.2,
) -> Simulated:
    """Take a picture of cells with a membrane dye.

    Parameters
    ----------
    rng : numpy.random.Generator
    shape : (height, width)
    diameter : float
        Typical diameter of the cells in pixels.
    density : float
        1 covers about half of the picture, 0 is an empty well.
    light : float
        Brightness of the dye.
    defocus : float
        Blur in pixels; 1.2 is in focus.

    Returns
    -------
    Simulated
        image (H, W) uint16, labels (H, W) int32.

    Examples
    --------
    >>> image, labels = photograph(np.random.default_rng(0), (64, 96))
    >>> image.dtype, labels.shape
    (dtype('uint16'), (64, 96))
    """
    n_cells = round(45 * density * shape[0] * shape[1] / (256 * 320) * (34 / diameter) ** 2)
    scene = place_cells(
        shape,
        lambda rng: round_outline(rng, 1.5, 0.08, 0.1),
        rng,
        n_cells=n_cells,
        diameter=diameter,
        clustering=0.85,
    )
    inside = scene.labels > 0
    uneven = np.clip(1 + 0.5 * smooth_noise(scene.labels.shape, 20, rng), 0.15, 2)
    rim = np.exp(-(((scene.distance - 1) / 2) ** 2)) * inside * uneven
    dye = scene.per_cell(rng.uniform(0.5, 1, scene.n_cells)) * rim + 0.12 * inside
    photons = 400 * scene.crop(0.05 + 0.8 * light * blur(dye, defocus))
    counts = CAMERA_OFFSET + 8 * rng.poisson(np.maximum(photons, 0))
    return Simulated(
        np.minimum(counts, 65_535).astype(np.uint16), np.ascontiguousarray(scene.crop(scene.labels))
    )


def leave_folder(folder: str | Path, seed: int = 0, wells: int = 4) -> Path:
    """Write the folder that a colleague hands over: labelled images, and all that can be wrong with them.

    Parameters
    ----------
    folder : path
        Made if it is not there.
    seed : int
    wells : int, at least 3
        Wells A1, A2 …, two pictures (sites) each.

    Returns
    -------
    Path
        `folder`. It holds

        - ``plate 7_A1_s1.TIF`` … loose, in 16 bit; the last site of A2 has two pages (transmitted light,
          dye), and one more file is cut off
        - ``masks/``: hand-drawn label maps; that of A1's second site is a 0/255 mask, that of A2's first
          site is transposed
        - ``metadata.csv``: from a spreadsheet, without the row of the last image
        - ``Thumbs.db`` and ``readme.docx``
    """
    folder = Path(folder)
    (folder / "masks").mkdir(parents=True, exist_ok=True)
    rows = ["Image;Modality;Well;Objective"]
    for well in range(1, wells + 1):
        for site in (1, 2):
            name = f"plate 7_A{well}_s{site}"
            rng = np.random.default_rng([seed, well, site])
            loose = (well, site) == (1, 2)
            image, labels = photograph(rng, density=0.25 if loose else 1)
            if (well, site) == (2, 2):  # transmitted light comes along
                image = np.stack([np.full_like(image, 9_000) - image // 2, image])
            labels = _as_drawn(labels, well, site)
            tifffile.imwrite(folder / f"{name}.TIF", image, photometric="minisblack")
            tifffile.imwrite(folder / "masks" / f"{name}_mask.tif", labels, compression="zlib")
            rows.append(f"{name}.TIF;Fluorescence;A{well};20x")
    (folder / "metadata.csv").write_text("\n".join(rows[:-1]) + "\n", encoding="utf-8-sig")
    whole = (folder / "plate 7_A1_s1.TIF").read_bytes()
    (folder / "plate 7_A9_s1.TIF").write_bytes(whole[: len(whole) // 2])
    (folder / "Thumbs.db").write_bytes(b"\0")
    (folder / "readme.docx").write_bytes(b"PK")
    return folder


def _as_drawn(labels: np.ndarray, well: int, site: int) -> np.ndarray:
    """Return a label map as it was handed in."""
    if (well, site) == (1, 2):
        from maunet_lite.figures import outlines

        return np.where((labels > 0) & ~outlines(labels), 255, 0).astype(np.uint8)
    if (well, site) == (2, 1):
        labels = labels.T
    return labels.astype(np.uint16)


def photograph_experiment(folder: str | Path, seed: int = 0, sites: int = 2) -> Path:
    """Write an experiment without labels: three wells of a control, three with a drug that swells cells.

    Two pictures went wrong: one is out of focus, one well is nearly empty. Wells differ among themselves, as
    wells do.

    Returns
    -------
    Path
        `folder`, with ``B1_s1.tif`` … ``C3_s2.tif`` and ``truth/`` with the label maps that no real
        experiment has.
    """
    folder = Path(folder)
    (folder / "truth").mkdir(parents=True, exist_ok=True)
    for group, (condition, names) in enumerate(WELLS.items()):
        for number, well in enumerate(names):
            of_well = np.random.default_rng([seed, 77, group, number])
            diameter = (31 if condition == "control" else 36) * np.exp(of_well.normal(0, 0.03))
            for site in range(1, sites + 1):
                rng = np.random.default_rng([seed, 78, group, number, site])
                wrong = {"B2": {"defocus": 5.0}, "C1": {"density": 0.05}}.get(well, {}) if site == 1 else {}
                density = wrong.get("density", rng.uniform(0.5, 0.8))
                image, labels = photograph(
                    rng, diameter=diameter, density=density, light=rng.uniform(0.7, 1.2),
                    defocus=wrong.get("defocus", 1.2),
                )  # fmt: skip
                tifffile.imwrite(folder / f"{well}_s{site}.tif", image, photometric="minisblack")
                tifffile.imwrite(folder / "truth" / f"{well}_s{site}_label.tif", labels.astype(np.uint16))
    return folder


@dataclass(frozen=True)
class Plate:
    """An experiment: where its pictures are, and what no picture tells. See `describe_plate`.

    Attributes
    ----------
    folder : Path
        Holds the pictures.
    pixel_size : float
        Micrometres.
    camera_offset : float
        Counts of the camera in the dark.
    rejected : tuple of str
        Names of pictures that are left out.
    well : str
        Regular expression that finds the well in a picture's name: its first group, or all of it.
    treatment : dict
        Pattern of wells (``"B*"``) → treatment; empty: all are "mine".
    """

    folder: Path
    pixel_size: float
    camera_offset: float
    rejected: tuple[str, ...]
    well: str
    treatment: dict[str, str]

    def well_of(self, name: str) -> str:
        """Return the well of a picture.

        Raises
        ------
        ValueError
            If `well` finds none in the name.
        """
        found = re.search(self.well, name)
        text = found and (found.group(1) if found.re.groups else found.group())
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
        if not self.treatment:
            return "mine"
        found = {name for pattern, name in self.treatment.items() if fnmatchcase(well, pattern)}
        if len(found) != 1:
            raise ValueError(
                f"TREATMENT is {self.treatment} and says {' and '.join(sorted(found)) or 'nothing'} of well "
                f"{well!r}: expected one treatment for each well; '{well}' fits this well, '{well[0]}*' all "
                f"that begin with {well[0]}, '?{well[1:] or '1'}' those of a column (or put the well's "
                "pictures into REJECTED)"
            )
        return found.pop()

    def without_offset(self, cells: pd.DataFrame) -> pd.Series:
        """Return the mean intensity of each cell (of the first channel), the camera's offset taken off.

        Raises
        ------
        ValueError
            If there are cells clearly darker than the offset, or pictures with and without colour.
        """
        columns = [name for name in cells if name.startswith("intensity_mean")]
        values = cells[columns[0]]
        if len(columns) > 1:
            if values.isna().any():
                raise ValueError(
                    f"pictures of {self.folder} differ in their channels ({', '.join(columns)}): expected "
                    "the same in all of them; put one kind into a folder of its own"
                )
            print(f"{len(columns)} channels: intensities are those of {columns[0]}, the first")
        if (values < 0.9 * self.camera_offset).any():
            row = cells.loc[values.idxmin()]
            raise ValueError(
                f"CAMERA_OFFSET is {self.camera_offset:g}, but a cell of {row['image']} has a mean of "
                f"{values.min():.1f} counts: no cell is darker than the dark; take the mean of a picture "
                "made without light, or 0 if it has been taken off already"
            )
        return values - self.camera_offset


def describe_plate(
    folder: str | Path,
    *,
    pixel_size: float | None,
    camera_offset: float | None,
    rejected: Sequence[str] = (),
    well: str = WELL,
    treatment: Mapping[str, str] | None = None,
    simulated: bool = False,
) -> Plate:
    """Put together what is known of an experiment, and refuse what does not fit its pictures.

    Parameters
    ----------
    folder : path
        The pictures, or a folder ``images`` with them.
    pixel_size : float or None
        Micrometres.
    camera_offset : float or None
        Counts of the camera in the dark.
    rejected : sequence of str
        Names of pictures that are left out.
    well : str
        Regular expression, see `Plate`.
    treatment : mapping, optional
        Pattern of wells → treatment, see `Plate`.
    simulated : bool
        The folder is `photograph_experiment`'s: what is None or empty is taken from there.

    Raises
    ------
    FileNotFoundError
        If the folder does not exist, or holds no picture.
    ValueError
        Names the value, what was expected, and what to do.

    Examples
    --------
    >>> import tempfile
    >>> folder = photograph_experiment(tempfile.mkdtemp(), sites=1)
    >>> plate = describe_plate(folder, pixel_size=None, camera_offset=None, simulated=True)
    >>> plate.pixel_size, plate.well_of("C3_s1.tif"), plate.treatment_of("C3")
    (0.65, 'C3', 'drug')
    """
    if simulated:
        pixel_size = PIXEL_SIZE if pixel_size is None else pixel_size
        camera_offset = CAMERA_OFFSET if camera_offset is None else camera_offset
        treatment = treatment or TREATMENT
    pixel_size = _number("PIXEL_SIZE", pixel_size, lambda value: value > 0, "micrometres per pixel, above 0")
    camera_offset = _number(
        "CAMERA_OFFSET",
        camera_offset,
        lambda value: value >= 0,
        "the counts of your camera in the dark, 0 if they have been taken off already",
    )
    names = [path.name for path in find_images([folder])]
    if simulated and not rejected:
        rejected = [name for name in REJECTED if name in names]
    for name in rejected:
        if name not in names:
            close = difflib.get_close_matches(name, names, 1) or names[:1]
            raise ValueError(
                f"REJECTED has {name!r}, which is not in {folder}: expected names of pictures, with their "
                f"endings, such as {close[0]!r}"
            )
    kept = [name for name in names if name not in rejected]
    if not kept:
        raise ValueError(f"REJECTED has all {len(names)} pictures of {folder}: keep some of them")
    try:
        re.compile(well)
    except re.error as error:
        raise ValueError(
            f"WELL is {well!r}, which is no regular expression ({error}): use one such as {WELL!r}"
        ) from error
    folder = Path(folder)
    plate = Plate(
        folder=folder / "images" if (folder / "images").is_dir() else folder,
        pixel_size=pixel_size,
        camera_offset=camera_offset,
        rejected=tuple(rejected),
        well=well,
        treatment=dict(treatment or {}),
    )
    wells = sorted({plate.well_of(name) for name in kept})
    for one in wells:
        plate.treatment_of(one)
    everywhere = {plate.well_of(name) for name in names if re.search(well, name)}
    for pattern in plate.treatment:
        if not any(fnmatchcase(one, pattern) for one in everywhere):
            raise ValueError(
                f"TREATMENT has {pattern!r}, which fits none of the wells {', '.join(wells)}: mend the "
                "pattern, or WELL, or take it away"
            )
    return plate


def _number(name: str, value: float | None, allowed: Callable[[float], bool], expected: str) -> float:
    """Return a number of the notebook's parameters, or say what is wrong with it."""
    number = isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
    if not number or not allowed(value):
        raise ValueError(
            f"{name} is {value!r}: for an experiment of yours expected {expected}; set it in the cell of "
            "parameters"
        )
    return float(value)
