"""Weights in and out: `files`, networks that travel (`pretrained`) with a `card`, `models` by name."""
