"""What is changed in training patches, how much, and how often.

The defaults are the paper's (section 3.2.2). It varies what its training images show; users' images differ by
more. The options that are 0 or None here add what may come, in the manner of domain randomization [1]: cells
of any size, either polarity, other colours and light, debris, empty surroundings, another focus, more noise.
Recipe ``lite`` sets them.

[1] J. Tobin et al., Domain randomization for transferring deep neural networks from simulation to the real
world, IROS 2017.
"""

from dataclasses import dataclass
from typing import Annotated, Literal

from maunet_lite.postprocessing import POSITIVE, SHARE, Options

Positive, Share = Annotated[float, POSITIVE], Annotated[float, SHARE]


@dataclass(frozen=True)
class AugmentationConfig(Options):
    """How training patches are drawn. The defaults are the paper's.

    Attributes
    ----------
    patch : int
        Side of the square patch in pixels.
    sizes : tuple of float, optional
        Range of the cells' median diameter in pixels after the resize; each doubling is equally likely. Label
        maps are resized and targets made of them, so that boundaries keep their thickness. By default cells
        get whatever size `zoom` gives them, and targets are resized.
    zoom : tuple of float
        Range of the random resize; with `sizes`, what it is kept within.
    zoom_spacing : {"uniform", "log"}
        ``"uniform"``, as in the published code: enlarging is the rule. ``"log"``: halving is as likely as
        doubling. Without `sizes` only.
    around_cell : float
        Share of patches that are centred near a random cell, 0 in the paper. Where cells are rare, patches
        drawn anywhere show none.
    padding : {"mirror", "black", "either"}
        What surrounds an image that is smaller than the patch: its mirror image, as in the published code and
        in inference, black background, or one of these, each as often.
    p_resize : float
        Probability of a resize; with `sizes`, cells keep their size to within a fifth otherwise.
    p_geometry : float
        Probability of each flip, and of a rotation by a multiple of 90°.
    p_intensity : float
        Probability of each of noise, contrast, smoothing and histogram shift, as in the paper.
    p_colour, p_polarity, p_debris, p_light, p_sparse, p_focus, p_noise : float
        Probabilities of what `domains` describes: `recolour`, `invert`, `add_debris`, `relight`, `isolate`,
        `refocus`, `add_grain`.
    """

    patch: Annotated[int, POSITIVE] = 512
    sizes: tuple[Positive, Positive] | None = None
    zoom: tuple[Positive, Positive] = (0.25, 2.0)
    zoom_spacing: Literal["uniform", "log"] = "uniform"
    around_cell: Share = 0.0
    padding: Literal["mirror", "black", "either"] = "mirror"
    p_resize: Share = 1.0
    p_geometry: Share = 0.5
    p_intensity: Share = 0.25
    p_colour: Share = 0.0
    p_polarity: Share = 0.0
    p_debris: Share = 0.0
    p_light: Share = 0.0
    p_sparse: Share = 0.0
    p_focus: Share = 0.0
    p_noise: Share = 0.0

    def __post_init__(self) -> None:
        """Refuse what cannot be meant."""
        super().__post_init__()
        for name in ("zoom", "sizes"):
            if (pair := getattr(self, name)) and pair[0] > pair[1]:
                raise ValueError(f"{name}={pair!r} must be two numbers, the smaller one first")
