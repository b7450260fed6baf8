"""Slides: images larger than memory, segmented block by block as if at once."""
