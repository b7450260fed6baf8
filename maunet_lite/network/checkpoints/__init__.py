"""Weights in and out: `models` by name, file or run."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "models": [
            "WEIGHTS", "CheckpointError", "empty_model", "filled", "find_checkpoint", "load_model",
            "mismatch", "read_record", "save_model", "shipped_models",
        ],
    },
)  # fmt: skip
