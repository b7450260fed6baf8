"""Weights in and out: `files`, networks that travel (`pretrained`) with a `card`, `models` by name."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "card": ["model_card"],
        "files": ["WEIGHTS", "CheckpointError", "find_checkpoint", "read_record", "shipped_models"],
        "models": ["load_model", "save_model"],
        "pretrained": ["Pretrained", "filled", "mismatch"],
    },
)
