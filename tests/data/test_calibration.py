"""How large a pixel is, and several images in one Zarr: what files say, and what the kit writes."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest
import tifffile

from maunet_lite.data import ImageError, open_slide, pixel_size, read_image, write_image, write_labels

G = np.random.default_rng(0).integers(0, 256, (40, 60), dtype=np.uint8)
MICRO = 0.325


def imagej(unit: str, per_unit: float) -> dict:
    return {"imagej": True, "resolution": (per_unit, per_unit), "metadata": {"unit": unit}}


def ome(x: float, y: float, unit: str | None = None) -> dict:
    metadata = {"axes": "YX", "PhysicalSizeX": x, "PhysicalSizeY": y}
    if unit:
        metadata |= {"PhysicalSizeXUnit": unit, "PhysicalSizeYUnit": unit}
    return {"ome": True, "metadata": metadata}


def tags(per_unit: float, unit: str) -> dict:
    return {"resolution": (per_unit, per_unit), "resolutionunit": unit}


SAID = {
    "imagej-um": (imagej("um", 1 / MICRO), MICRO),
    "imagej-micron": (imagej("micron", 1 / MICRO), MICRO),
    "imagej-escaped": (imagej("\\u00B5m", 1 / MICRO), MICRO),
    "imagej-nm": (imagej("nm", 1 / 325), MICRO),
    "imagej-mm": (imagej("mm", 1000 / MICRO), MICRO),
    "imagej-inch": (imagej("inch", 25_400 / MICRO), MICRO),
    "imagej-inch-for-screens": (imagej("inch", 72), None),
    "imagej-in-for-printers": (imagej("in", 300), None),
    "imagej-pixel": (imagej("pixel", 1), None),
    "imagej-alone": ({"imagej": True}, None),
    "ome-default-unit": (ome(MICRO, MICRO), MICRO),
    "ome-micrometre": (ome(MICRO, MICRO, "µm"), MICRO),
    "ome-nanometre": (ome(325, 325, "nm"), MICRO),
    "ome-no-length": (ome(MICRO, MICRO, "pixel"), None),
    "ome-oblong": (ome(0.2, 0.8, "µm"), 0.4),
    "centimetre": (tags(10_000 / MICRO, "CENTIMETER"), MICRO),
    "inch": (tags(25_400 / MICRO, "INCH"), MICRO),
    "inch-for-printers": (tags(300, "INCH"), None),
    "inch-for-screens": (tags(72, "INCH"), None),
    "no-unit": (tags(1 / MICRO, "NONE"), None),
    "nothing": ({}, None),
    "aperio": (
        {"description": "Aperio Image Library v1\r\n60x40|AppMag = 20|MPP = 0.325", "metadata": None},
        MICRO,
    ),
}


@pytest.mark.parametrize("name", SAID)
def test_tiffs_say_how_large_their_pixels_are(name: str, tmp_path: Path) -> None:
    options, expected = SAID[name]
    tifffile.imwrite(tmp_path / "a.tif", G, **options)
    found = pixel_size(tmp_path / "a.tif")
    assert found == (
        None if expected is None else pytest.approx(expected, rel=2e-2 if "imagej" in name else 1e-6)
    )
    with open_slide(tmp_path / "a.tif") as slide:
        assert slide.pixel_size == found


def test_other_files_say_nothing(tmp_path: Path) -> None:
    write_image(tmp_path / "a.png", G)
    assert pixel_size(tmp_path / "a.png") is None
    (tmp_path / "b.png").write_text("no image")
    with pytest.raises(ImageError, match=r"b\.png: this is no PNG"):
        pixel_size(tmp_path / "b.png")


@pytest.mark.parametrize("size", [MICRO, 0.1, 2.5, 65.0])
def test_what_is_written_is_read(size: float, tmp_path: Path) -> None:
    write_labels(tmp_path / "a.tif", np.eye(5, dtype=int), pixel_size=size)
    assert pixel_size(tmp_path / "a.tif") == pytest.approx(size, rel=1e-5)


def write_zarr(path: Path, version: int, **described) -> None:
    """Write an OME-Zarr image of one level: 0.4 in Zarr 2, or 0.5 in Zarr 3."""
    zarr = pytest.importorskip("zarr")
    group = zarr.open_group(path, mode="w", zarr_format=version)
    group.create_array("0", data=np.stack([G, 255 - G]))
    axes = [{"name": "c", "type": "channel"}]
    axes += [{"name": n, "type": "space", "unit": described.get("unit", "micrometer")} for n in "yx"]
    steps = [{"type": "scale", "scale": [1, 0.65, 0.65]}]
    multiscales = [{"axes": axes, "datasets": [{"path": "0", "coordinateTransformations": steps}]}]
    multiscales[0] |= described.get("more", {})
    about = {"multiscales": multiscales, "omero": {"channels": [{"label": "DAPI"}, {"label": "GFP"}]}}
    group.attrs.update(about if version == 2 else {"ome": about})


def test_ome_zarr_names_channels_and_sizes(tmp_path: Path) -> None:
    half = {"coordinateTransformations": [{"type": "scale", "scale": [1, 0.5, 0.5]}]}
    for version, described, expected in (
        (2, {}, 0.65), (3, {}, 0.65), (2, {"more": half}, 0.325), (2, {"unit": None}, None),
        (2, {"unit": "nanometer"}, 0.00065),
    ):  # fmt: skip
        path = tmp_path / f"{version}{len(str(described))}.zarr"
        write_zarr(path, version, **described)
        assert pixel_size(path) == (None if expected is None else pytest.approx(expected))
        np.testing.assert_array_equal(read_image(path, channel="gfp"), 255 - G)
        np.testing.assert_array_equal(read_image(path, channel=1), G)


def test_several_images_in_one_zarr(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    zarr = pytest.importorskip("zarr")
    path = tmp_path / "many.zarr"
    group = zarr.open_group(path, mode="w", zarr_format=2)
    for name in ("0", "1"):
        write_zarr(path / name, 2)
    with pytest.raises(ImageError, match=r"holds 2 images: 0 \(2, 40, 60\), 1 \(2, 40, 60\).*many\.zarr/0"):
        read_image(path)
    np.testing.assert_array_equal(read_image(path / "1", channel=2), 255 - G)
    # a slide scanner's label and overview are small: the slide is taken, and that is said
    one = zarr.open_group(tmp_path / "slide.zarr", mode="w", zarr_format=2)
    one.create_array("label", data=G[:9, :9])
    one.create_array("slide", data=G)
    with caplog.at_level(logging.WARNING, logger="maunet_lite"):
        np.testing.assert_array_equal(read_image(tmp_path / "slide.zarr"), G)
    assert "slide is taken, the largest of label (9, 9), slide (40, 60)" in caplog.text
    # two pyramids described in one group
    group.attrs["multiscales"] = [{"datasets": [{"path": "0/0"}]}, {"datasets": [{"path": "1/0"}]}]
    with pytest.raises(ImageError, match="holds 2 images: 0/0"):
        read_image(path)
    plate = zarr.open_group(tmp_path / "plate.zarr", mode="w", zarr_format=2)
    plate.attrs["plate"] = {"wells": []}
    with pytest.raises(ImageError, match="a plate of many images"):
        read_image(tmp_path / "plate.zarr")
