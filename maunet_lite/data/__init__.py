"""Files to arrays: images and label maps read and checked, dataset folders, catalogue, simulation.

Comes in: files and folders. Goes out: images (H, W) or (H, W, C), label maps (H, W) int32, `CellDataset`.
Paper: section 3.1. Notebooks: 00, 08.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "catalogue.downloads": ["get"],
        "catalogue.entries": ["CATALOGUE", "data_home", "format_catalogue"],
        "amounts": ["parse_bytes", "show_bytes"],
        "checks": [
            "DatasetError", "ImageError", "LabelError", "doubt_of_labels", "validate_image", "validate_labels"
        ],
        "dataset.folder": ["CellDataset", "Sample", "load_dataset"],
        "dataset.layouts": ["LAYOUTS", "export_folder", "import_folder"],
        "dataset.problems": ["check_folder"],
        "dataset.table": ["files_in", "stem_of"],
        "reading.calibration": ["validate_pixel_size"],
        "reading.images": ["IMAGE_SUFFIXES", "read_image", "read_labels"],
        "reading.open": ["image_size", "open_slide", "pixel_size"],
        "reading.zarr": ["is_zarr", "require_zarr"],
        "reading.slide": ["Slide", "covered", "shared", "tiles_of"],
        "simulation.extra": ["EXTRA_KINDS", "simulate_extra"],
        "simulation.fields": ["blur", "illumination", "smooth_noise", "specks"],
        "simulation.folder": ["simulate_dataset", "simulate_extra_dataset"],
        "simulation.pictures": ["MODALITIES", "VARIANTS", "Simulated", "simulate"],
        "simulation.layout.scene": ["place_cells"],
        "simulation.layout.shapes": ["round_outline"],
        "writing": ["atomic_path", "label_tags", "write_image", "write_labels"],
    },
)  # fmt: skip
