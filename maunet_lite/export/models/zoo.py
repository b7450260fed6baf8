"""A network as a package for the BioImage Model Zoo: what ilastik, deepImageJ, QuPath and others open."""

import math
import shutil
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from jinja2 import Template

from maunet_lite.data import simulate, write_image
from maunet_lite.export.models.run import named_maps
from maunet_lite.export.models.writers import ExportedMaps, Run, torch_run, write_maps
from maunet_lite.figures import paint_cells, to_display
from maunet_lite.network import model_card
from maunet_lite.postprocessing import segment

HERE = Path(__file__).parent


def write_package(
    maps: ExportedMaps, path: Path, name: str, record: Mapping[str, Any], labels: bool = False
) -> Run:
    """Write a package, and have it tested by the zoo's own library.

    Parameters
    ----------
    maps : ExportedMaps
    path : Path
        The ``.zip`` file.
    name : str
        Of the network.
    record : mapping
        What `read_record` returns, for the card inside.
    labels : bool
        False: it returns maps, as PyTorch weights, TorchScript and ONNX; the program scales images, by
        percentiles of all pixels. True: it returns a label map, as PyTorch weights; this kit scales and
        segments, and must be installed.

    Returns
    -------
    callable
        The network inside that makes maps.

    Raises
    ------
    ValueError
        If the package does not pass ``bioimageio test``.
    """
    from bioimageio.core import test_description
    from bioimageio.spec import save_bioimageio_package

    from maunet_lite.export.models import zoo_network

    network, run = maps.network, torch_run(maps)
    kind = zoo_network.LabelsOfCells if labels else zoo_network.MapsOfCells
    arguments = network.config.to_dict() | ({"settings": network.settings} if labels else {})
    module = kind(**arguments).eval()
    module.network.load_state_dict(network.state_dict())
    shape = tuple(network.stride * math.ceil(side / network.stride) for side in (128, 192))
    picture = simulate("fluorescence", shape, rng=np.random.default_rng(0)).image
    image = np.repeat(picture[None, None], 3, axis=1).astype(np.float32)  # (1, 3, H, W)
    told = {"name": name, "licence": record.get("licence", "mit").upper(), "stride": network.stride}
    told |= {"returns": "labels" if labels else "maps", "channels": ["cells"] if labels else maps.channels}
    told |= {"callable": kind.__name__, "arguments": arguments, "torch": torch.__version__}
    with TemporaryDirectory() as temporary:
        folder = Path(temporary)
        torch.save(module.state_dict(), folder / "weights.pt")
        shutil.copy(HERE / "zoo_network.py", folder)
        if not labels:
            write_maps(maps, "torchscript", folder / "maps.pt")
            run = write_maps(maps, "onnx", folder / "maps.onnx")
        output = torch_run(module)(image if labels else by_percentiles(image))
        np.save(folder / "test_input.npy", image)
        np.save(folder / "test_output.npy", output)
        cells = output[0, 0] if labels else segment(named_maps(output[0], maps.channels)).labels
        cover = to_display(picture)
        paint_cells(cover, cells.astype(np.int32))
        write_image(folder / "cover.png", (255 * cover).astype(np.uint8))
        card = model_card(name, sum(p.numel() for p in network.parameters()), record)
        (folder / "README.md").write_text(card, encoding="utf-8")
        text = Template((HERE / "bioimageio.yaml.j2").read_text(encoding="utf-8")).render(told)
        (folder / "bioimageio.yaml").write_text(text, encoding="utf-8")
        save_bioimageio_package(folder / "bioimageio.yaml", output_path=path)
    summary = test_description(path)
    if summary.status != "passed":
        raise ValueError(f"the package does not pass `bioimageio test`:\n{summary.format()}")
    return run


def by_percentiles(image: np.ndarray) -> np.ndarray:
    """Scale images (B, C, H, W) as a package asks programs to: percentiles 1 and 99 become 0.01 and 0.99."""
    low, high = np.percentile(image, (1, 99), axis=(2, 3), keepdims=True)
    return (np.clip((image - low) / (high - low + 1e-6), 0, 1) * 0.98 + 0.01).astype(np.float32)
