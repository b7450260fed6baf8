"""Images to network input, label maps to training targets, and random training patches of both.

Comes in: images and label maps. Goes out: (H, W, 3) float32 in [0.01, 0.99], `Targets`, patches.
Paper: sections 2.1 and 3.2.2. Notebook: 01.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "augmentation.config": ["AugmentationConfig"],
        "intensity": ["Scaling", "find_scaling", "normalize", "sample_of"],
        "options": ["NOT_NEGATIVE", "Options", "POSITIVE", "SHARE"],
        "patches": ["PatchDataset", "source_weights"],
        "augmentation.steps": ["build_augmentation"],
        "augmentation.windows": ["median_diameter"],
        "targets": ["TargetConfig", "Targets", "class_map", "distance_field", "make_targets"],
        "transforms": ["CellTargetsd", "NormalizeCellsd"],
    },
)  # fmt: skip
