"""Networks for other programs: all `formats`, the BioImage Model Zoo among them, and `run` without torch."""
