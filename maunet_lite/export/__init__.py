"""Cells to measurements and to files of other programs: Fiji, QuPath, napari; networks to theirs.

Comes in: label maps; networks. Goes out: tables, records, polygons, TIFF, ROIs, GeoJSON, OME-Zarr, ONNX.
Paper: nothing. Notebook: 08.
"""

from maunet_lite import open_room

__getattr__, __dir__, __all__ = open_room(__name__, __file__)
