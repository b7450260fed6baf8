"""Cells to measurements and to files of other programs: Fiji, QuPath, napari; networks to theirs.

Comes in: label maps; networks. Goes out: tables, records, polygons, TIFF, ROIs, GeoJSON, OME-Zarr, ONNX.
Paper: nothing. Notebook: 08.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
