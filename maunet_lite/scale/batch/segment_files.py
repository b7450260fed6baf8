"""Many images: files in, label maps, tables and exports out, and no surprise on the way.

While the network looks at one image, the next ones are read and the ones before are post-processed,
measured and written, so that the network never waits; few images are in memory at a time. A damaged image
never stops the others, nothing is half-written, and what is done is not done again.
"""

import os
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from maunet_lite.data import IMAGE_SUFFIXES, files_in, is_zarr, listed, parse_bytes, stem_of
from maunet_lite.export import FORMATS, for_terminal, parse_formats
from maunet_lite.inference import Settings, as_models, choose_size, in_pixels, settings_of
from maunet_lite.network import MAUNet
from maunet_lite.scale.batch.one_image import BESIDE, Outcome, Plan
from maunet_lite.scale.batch.pipeline import run
from maunet_lite.scale.batch.tables import write_tables
from maunet_lite.scale.lock import one_run_in
from maunet_lite.scale.pool import Pool
from maunet_lite.scale.provenance import is_made_from, made_by


def find_images(inputs: Iterable[str | Path], out: str | Path | None = None) -> list[Path]:
    """Return the image files that are meant by files and folders, folders in order of name.

    Parameters
    ----------
    inputs : iterable of path
        A file is taken as it is, and so is a Zarr. Of any other folder, all files with an image's suffix
        and all folders that end in ``.zarr``; of a dataset folder those in its ``images``. Names that start
        with a dot are left out.
    out : path, optional
        Where results go. Of this folder, files with the names of results are no images.

    Raises
    ------
    FileNotFoundError
        If an input does not exist, or a folder holds no image.
    """
    found: list[Path] = []
    for path in map(Path, inputs):
        if not path.exists():
            raise FileNotFoundError(f"{path} does not exist: give image files, or folders that hold some")
        if path.is_file() or path.suffix.lower() == ".zarr" or is_zarr(path):
            found.append(path)
            continue
        folder = path / "images" if (path / "images").is_dir() else path
        kinds = {True: (".zarr",), False: IMAGE_SUFFIXES}
        images = [file for file in files_in(folder) if file.suffix.lower() in kinds[file.is_dir()]]
        if out is not None and folder.resolve() == Path(out).resolve():
            images = [image for image in images if not is_result(image)]
        if not images:
            raise FileNotFoundError(f"{folder} holds no image: none ends in {', '.join(IMAGE_SUFFIXES)}")
        found += images
    return list(dict.fromkeys(found))


def is_result(path: Path) -> bool:
    """Tell whether a file bears the name of a label map, or of a result and has its label map beside it.

    Examples
    --------
    >>> is_result(Path("a_label.tiff")), is_result(Path("a.png")), is_result(Path("a_overlay.png"))
    (True, False, False)
    """
    endings = [end for end in (FORMATS | BESIDE).values() if path.name.endswith(end)]
    labels = [path.with_name(path.name.removesuffix(end) + FORMATS["tiff"]) for end in endings]
    return path.name.endswith(FORMATS["tiff"]) or any(file.exists() for file in labels)


def label_paths(images: Sequence[Path], out: str | Path) -> list[Path]:
    """Return where the label map of each image goes: ``NAME_label.tiff`` in `out`.

    Images that differ only in their suffix keep it in the name: ``a.png`` and ``a.tif`` become
    ``a_png_label.tiff`` and ``a_tif_label.tiff``. A label map that was made from the image under its other
    name, before ``a.tif`` came or went, stays where it is: somebody may have corrected it.

    Results have names that every program can write down: what is no Unicode in an image's is escaped.

    Raises
    ------
    ValueError
        If two images would still be written to the same file.

    Examples
    --------
    >>> [path.name for path in label_paths([Path("a.png"), Path("a.tif"), Path("b.png")], "out")]
    ['a_png_label.tiff', 'a_tif_label.tiff', 'b_label.tiff']
    """
    stems, paths = [stem_of(image.name) for image in images], []
    times = Counter(stems)
    for image, stem in zip(images, stems, strict=True):
        ending = image.name[len(stem) :].lower().replace(".", "_")
        names = (stem, stem + ending) if times[stem] == 1 else (stem + ending, stem)
        usual, other = (Path(out) / (for_terminal(n).replace("\\", "%") + "_label.tiff") for n in names)
        kept = usual.exists() and is_made_from(usual, image) is not False
        paths.append(other if is_made_from(other, image) and not kept else usual)
    path, count = Counter(paths).most_common(1)[0]
    if count > 1:
        same = ", ".join(for_terminal(image) for k, image in enumerate(images) if paths[k] == path)
        raise ValueError(f"{same} would all become {path.name}: segment them into different folders")
    return paths


def segment_files(
    inputs: Iterable[str | Path], out: str | Path, model: MAUNet | str | Path | Sequence[MAUNet | str | Path],
    *, postprocess: Settings = "default", export: str | Iterable[str] = ("tiff",),
    overlay: bool = False, doubt: bool = False, table: bool = False, overwrite: bool = False,
    pixel_size: float | None = None,
    memory: str | int | None = None, gpu_memory: str | int | None = None, pool: Pool | None = None,
    diameter: float | None = None, channel: Any = None, plane: Any = None, project: str | None = None,
    progress: bool = True, **options: Any,
) -> list[Outcome]:  # fmt: skip
    """Segment images and write one label map each, and whatever else is wanted.

    Parameters
    ----------
    inputs : iterable of path
        Files and folders, see `find_images`.
    out : path
        Folder for ``NAME_label.tiff``, which are always written, and all other files; made if it is not
        there.
    model : MAUNet, name or path, or a sequence of them
        A sequence is an ensemble. With a `pool` of processes only names and paths: each worker loads them
        once.
    postprocess : str, PostprocessConfig or mapping
        As in `inference.segment`.
    export : str or iterable of str
        Formats for other programs, such as ``"tiff,rois,geojson,zarr"``; see `maunet_lite.export.files`.
    overlay : bool
        Also write ``NAME_overlay.png``, the image with the cells drawn over it.
    doubt : bool
        Also write ``NAME_doubt.tiff`` (`inference.doubt_map`) and a column ``doubt`` in both tables: where to
        look first. Eight more looks at every image; not for images in blocks.
    table : bool
        Also write ``summary.csv`` (one row per image: status, cells, size, seconds per stage, reason) and
        ``cells.csv`` (one row per cell: `export.measure_cells` and score). They cover what was done before in
        this folder. Each image's cells also lie in ``cells/NAME.csv``.
    overwrite : bool
        Do again what is done; of a slide that was stopped the finished blocks stay. Otherwise an image is not
        segmented again whose label map was made from the same content, by the same networks and settings: the
        label map's TIFF description says so. Of its other files the missing ones are written. A label map
        without such a record, as after corrections by hand, is kept.
    pixel_size : float, optional
        Micrometres per pixel, for measurements and exports, instead of what each file says. Of images of a
        dataset the column `pixel_size` of its ``metadata.csv`` counts before the file.
    memory : str or int, optional
        Such as ``"4GiB"``. Larger images are segmented in blocks (`scale.segment_slide`), and no more
        images are held at a time than it allows. By default all are taken whole, but Zarrs beyond 4 GiB.
    gpu_memory : str or int, optional
        The same for a GPU.
    pool : Pool, optional
        Images are its tasks, and of larger images the blocks; see `scale.open_pool`.
    diameter : float, optional
        Diameter of the cells in pixels or, if `pixel_size` is given, in µm; estimated by default.
    channel, plane, project
        How images are read, see `data.read_image`; by default as ``metadata.csv`` of a dataset says.
    progress : bool
        Show a progress bar.
    **options
        For `inference.predict_sized`: ``scales``, ``window``, ``device`` … Of an image in blocks ``overlap``,
        ``half`` and ``single_scale_above`` are not used, and its outcome says so.

    Returns
    -------
    list of Outcome
        One per image, in order. An image that cannot be read or segmented is "failed" and leaves no file.

    Raises
    ------
    BlockingIOError
        If another run writes into `out`.
    FileNotFoundError, ValueError, ImportError
        If an input does not exist, two would be written to the same file, an input would be overwritten, a
        format is not known or its package not installed, or `scales` or `pixel_size` are no positive
        numbers; before anything is done.
    """
    images = find_images(inputs, out)
    items = [Outcome(*item) for item in zip(images, label_paths(images, out), listed(images), strict=True)]
    options |= {"scales": options.get("scales", "auto"), "diameter": in_pixels(diameter, pixel_size)}
    choose_size([], lambda *part: None, (1, 1), options["scales"], options["diameter"])  # refuses wrong ones
    if gpu_memory is not None:
        options["memory"] = parse_bytes(gpu_memory) / 2**30
    models = (model,) if isinstance(model, (MAUNet, str, Path)) else tuple(model or ())
    config = settings_of(as_models(models) if models else [], postprocess)
    wanted = ("tiff", *parse_formats(export), *["overlay"] * overlay, *["doubt"] * doubt, *["cells"] * table)
    limit = None if memory is None else parse_bytes(memory)
    reading = {"channel": channel, "plane": plane, "project": project}
    made = made_by(models, config, options | reading)
    plan = Plan(models, config, options, wanted, overwrite, pixel_size, limit, gpu_memory, made, reading)
    inputs = {os.path.realpath(image) for image in images}  # of links in a circle, too
    for path in (item.file(kind) for item in items for kind in wanted):
        if os.path.realpath(path) in inputs:
            raise ValueError(f"{path} is an image, and a result would replace it: give another --out")
    with one_run_in(out):
        try:
            run(items, plan, pool, progress)
        finally:  # also after Ctrl-C: what is done is in the tables
            if table:
                write_tables(Path(out), [item for item in items if item.status])
    return items
