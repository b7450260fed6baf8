"""Simulated microscopy with exact ground truth: the embedded data of the course.

A picture is made in four steps, each a module short enough to open and read:

1. ``layout.scene`` lays out cells whose outlines come from ``layout.shapes`` (from here on labels are exact),
2. ``light.specimens`` fills them with dye or optical thickness, textured by ``fields``,
3. ``light.microscopes`` forms the image in one of the paper's four modalities,
4. ``pictures`` takes it with a camera that counts photons, and says what each kind of picture shows.

``extra`` names further kinds of pictures, to train on, which ``layout.crowds`` and ``light.views`` help to
make. ``folder`` writes whole datasets.

>>> import numpy as np
>>> from maunet_lite.data import simulate
>>> image, labels = simulate("dic", (64, 96), rng=np.random.default_rng(0))
>>> image.shape, image.dtype, labels.shape, labels.dtype
((64, 96), dtype('uint8'), (64, 96), dtype('int32'))
"""
