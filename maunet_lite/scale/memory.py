"""Whether an image fits into memory as a whole."""

import math
from contextlib import suppress
from pathlib import Path

from maunet_lite.data import ImageError, image_size, parse_bytes

WHOLE_BYTES = 110  # per pixel, to segment an image as a whole: measured, with some room


def needs_blocks(path: str | Path, memory: str | int = "4GiB") -> bool:
    """Tell whether an image must be segmented in blocks, because it is too large for `memory`.

    Only the head of the file is read. A file that cannot be read is no slide: whoever reads it will say why.

    Examples
    --------
    >>> import numpy as np
    >>> from maunet_lite.data import write_image
    >>> path = getfixture("tmp_path") / "small.png"
    >>> write_image(path, np.zeros((40, 50), dtype=np.uint8))
    >>> needs_blocks(path, "4GiB"), needs_blocks(path, "0.7GiB")
    (False, False)
    """
    with suppress(OSError, ImageError):
        return math.prod(image_size(path)) * WHOLE_BYTES + 2**29 > parse_bytes(memory)
    return False
