"""``python -m maunet_lite.cli``, for programs that start Python: ``torchrun -m maunet_lite.cli train …``."""

from maunet_lite.cli import main

main()
