"""Cells to measurements and to files of other programs: Fiji, QuPath, napari; networks to theirs.

Comes in: label maps; networks. Goes out: tables, records, polygons, TIFF, ROIs, GeoJSON, OME-Zarr, ONNX.
Paper: nothing. Notebook: 08.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "files": ["FORMATS", "export", "parse_formats"],
        "measure": ["measure_cells"],
        "models.formats": ["MODEL_FORMATS", "export_model"],
        "models.run": ["onnx_segment"],
        "models.writers": ["ExportedMaps"],
        "ome_zarr": ["SMALLEST", "add_level", "describe_levels"],
        "polygons": ["Polygon", "fill"],
        "records": [
            "for_html", "for_link", "for_spreadsheet", "for_terminal", "from_spreadsheet", "read_json",
            "write_table",
        ],
    },
)  # fmt: skip
