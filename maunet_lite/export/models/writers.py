"""One file that runs without this kit: ONNX, TorchScript, torch.export's PT2.

What is exported takes the image as the network sees it, three channels in [0.01, 0.99], and returns maps. How
an image gets there (`preprocessing.normalize`) is described in the file, not computed in it: which channels
hold signal and where cells are is more than a graph of tensors can say.
"""

import json
import logging
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from maunet_lite.export.models.run import KEY
from maunet_lite.network import MAUNet

OPSET = 18  # of ONNX: since 2022
Run = Callable[[np.ndarray], np.ndarray]  # images (B, 3, H, W) to maps (B, K, H, W)


class ExportedMaps(nn.Module):
    """A network that returns what post-processing reads in one tensor: probabilities, and the distance field.

    Attributes
    ----------
    channels : list of str
        What the K maps are.
    """

    def __init__(self, network: MAUNet) -> None:
        super().__init__()
        self.network, config = network, network.config
        heads = {"boundary": config.boundary, "proxy": config.proxy, "distance": config.distance}
        self.channels = ["background", "interior", *(name for name, there in heads.items() if there)]

    def forward(self, image: Tensor) -> Tensor:
        """Return maps (B, K, H, W) for images (B, 3, H, W) in [0.01, 0.99], sides multiples of the stride."""
        skips = self.network.skip_features(image)
        maps = [self.network.class_head(self.network.class_decoder(skips)).softmax(dim=1)]
        if self.network.config.distance:
            maps.append(self.network.distance_head(self.network.distance_decoder(skips)))
        return torch.cat(maps, dim=1)


def write_maps(maps: ExportedMaps, kind: str, path: Path) -> Run:
    """Write a network as ``"torchscript"``, ``"pt2"`` or ``"onnx"``; return it as its own library loads it.

    The file holds, as JSON under `KEY`, what a program must know to use it.
    """
    network = maps.network
    about = {"intensity": network.config.intensity, "stride": network.stride, "channels": maps.channels}
    told = {KEY: json.dumps(about | {"postprocess": network.settings.get("postprocess", {})})}
    image = torch.zeros(2, 3, 2 * network.stride, 3 * network.stride)
    if kind == "torchscript":
        torch.jit.save(torch.jit.trace(maps, image), path, _extra_files=told)
        return torch_run(torch.jit.load(path))
    dim = torch.export.Dim  # any batch, any multiple of the stride
    sides = {0: dim("batch"), 2: network.stride * dim("rows"), 3: network.stride * dim("columns")}
    program = torch.export.export(maps, (image,), dynamic_shapes=(sides,))
    if kind == "pt2":
        torch.export.save(program, path, extra_files=told)
        return torch_run(torch.export.load(path).module())
    from onnxruntime import InferenceSession

    logging.getLogger("torch.onnx").setLevel(logging.ERROR)  # it warns of a torchvision that nobody needs
    names = {"input_names": ["image"], "output_names": ["maps"]}
    graph = torch.onnx.export(program, dynamo=True, opset_version=OPSET, verbose=False, **names)
    graph.model.metadata_props.update(told)
    graph.save(path)
    session = InferenceSession(path, providers=["CPUExecutionProvider"])
    return lambda image: session.run(None, {"image": image})[0]


def torch_run(module: Callable[[Tensor], Tensor]) -> Run:
    """Return a torch module as a function of arrays."""
    return torch.inference_mode()(lambda image: module(torch.from_numpy(image)).numpy())
