"""A folder of images as a microscope and its users leave it: what notebook 08 starts from.

The cells carry a membrane dye: bright rims, dark inside, a kind that the shipped network has not been
trained on. Everything that is wrong with the folder is wrong with real ones: images lie loose, names
differ, one acquisition has two pages, one was cut off while copying, label maps are masks or lie on their
side, the table has gaps.
"""

import itertools
from functools import partial
from pathlib import Path

import numpy as np
import tifffile

from maunet_lite.data import Simulated, blur, place_cells, round_outline, smooth_noise
from maunet_lite.figures import outlines

CAMERA_OFFSET = 100  # counts of a camera in the dark
WELLS = {"control": ("B1", "B2", "B3"), "drug": ("C1", "C2", "C3")}


def photograph(
    rng: np.random.Generator, shape: tuple[int, int] = (256, 320), *, diameter: float = 34,
    density: float = 1.0, light: float = 1.0, defocus: float = 1.2,
) -> Simulated:  # fmt: skip
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
    outline = partial(round_outline, elongation=1.5, roughness=0.08, bend=0.1)
    scene = place_cells(shape, outline, rng, n_cells=n_cells, diameter=diameter, clustering=0.85)
    uneven = np.clip(1 + 0.5 * smooth_noise(scene.labels.shape, 20, rng), 0.15, 2)
    inside = scene.labels > 0
    rim = np.exp(-(((scene.distance - 1) / 2) ** 2)) * inside * uneven
    dye = scene.per_cell(rng.uniform(0.5, 1, scene.n_cells)) * rim + 0.12 * inside
    photons = 400 * scene.crop(0.05 + 0.8 * light * blur(dye, defocus))
    counts = CAMERA_OFFSET + 8 * rng.poisson(np.maximum(photons, 0))
    image = np.minimum(counts, 65_535).astype(np.uint16)
    return Simulated(image, np.ascontiguousarray(scene.crop(scene.labels)))


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
    for well, site in itertools.product(range(1, wells + 1), (1, 2)):
        name = f"plate 7_A{well}_s{site}"
        density = 0.25 if (well, site) == (1, 2) else 1
        image, labels = photograph(np.random.default_rng([seed, well, site]), density=density)
        labels = labels.astype(np.uint16)
        if (well, site) == (1, 2):  # drawn as a mask
            labels = np.where((labels > 0) & ~outlines(labels), 255, 0).astype(np.uint8)
        elif (well, site) == (2, 1):  # lies on its side
            labels = labels.T
        elif (well, site) == (2, 2):  # transmitted light comes along
            image = np.stack([np.full_like(image, 9_000) - image // 2, image])
        tifffile.imwrite(folder / f"{name}.TIF", image, photometric="minisblack")
        tifffile.imwrite(folder / "masks" / f"{name}_mask.tif", labels, compression="zlib")
        rows.append(f"{name}.TIF;Fluorescence;A{well};20x")
    (folder / "metadata.csv").write_text("\n".join(rows[:-1]) + "\n", encoding="utf-8-sig")
    whole = (folder / "plate 7_A1_s1.TIF").read_bytes()
    (folder / "plate 7_A9_s1.TIF").write_bytes(whole[: len(whole) // 2])
    (folder / "Thumbs.db").write_bytes(b"\0")
    (folder / "readme.docx").write_bytes(b"PK")
    return folder


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
                taken = {"density": rng.uniform(0.5, 0.8), "light": rng.uniform(0.7, 1.2)}
                taken |= {("B2", 1): {"defocus": 5.0}, ("C1", 1): {"density": 0.05}}.get((well, site), {})
                image, labels = photograph(rng, diameter=diameter, **taken)
                tifffile.imwrite(folder / f"{well}_s{site}.tif", image, photometric="minisblack")
                tifffile.imwrite(folder / "truth" / f"{well}_s{site}_label.tif", labels.astype(np.uint16))
    return folder
