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
        "checks": [
            "DatasetError", "ImageError", "LabelError",
            "validate_image", "validate_labels", "validate_pixel_size",
        ],
        "folder": ["CellDataset", "Sample", "load_dataset"],
        "images": [
            "IMAGE_SUFFIXES", "atomic_path", "read_image", "read_labels", "write_image", "write_labels",
        ],
        "problems": ["check_folder"],
        "simulation.extra": ["EXTRA_KINDS", "simulate_extra"],
        "simulation.fields": ["blur", "illumination", "smooth_noise", "specks"],
        "simulation.folder": ["simulate_dataset", "simulate_extra_dataset"],
        "simulation.pictures": ["MODALITIES", "VARIANTS", "Simulated", "simulate"],
        "simulation.layout.scene": ["place_cells"],
        "simulation.layout.shapes": ["round_outline"],
    },
)  # fmt: skip
