"""How big the course runs: the one place that says so.

A profile gives values to the parameters of notebooks. A *shared* value goes to each notebook that declares
a parameter of that name in its cell tagged ``parameters``; a value under a notebook's number goes to that
notebook and wins. ``quick`` gives none: it is what the notebooks themselves say, so that a reader who opens
one in JupyterLab gets the same.

| profile | for | machine |
|---|---|---|
| smoke | CI: does every cell run? Figures mean little | two CPU cores, minutes for the whole course |
| quick | a lesson on a laptop | two CPU cores, no download |
| gpu | the same lesson with the paper's network at a short budget | one GPU |
| full | the paper's network, data and recipe; 02 trains as long as the paper | one GPU or more, hours |
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Profile:
    """Parameters of one size of the course.

    Attributes
    ----------
    about : str
        One line for people.
    limit_minutes : float
        A notebook that takes longer is stopped.
    shared : dict
        Parameter → value, for every notebook that declares the parameter.
    notebooks : dict
        Number of a notebook (``"02"``) → parameters of its own.
    """

    about: str
    limit_minutes: float
    shared: dict[str, Any]
    notebooks: dict[str, dict[str, Any]] = field(default_factory=dict)


PAPER = {"RECIPE": "paper-supervised", "DATA": "neurips22"}
PAPER_STEPS = 56_250  # 1,000 epochs of 900 images in batches of 16 (paper Table 2)

PROFILES: dict[str, Profile] = {
    "smoke": Profile(
        about="does every cell run? For CI, in minutes on two cores",
        limit_minutes=5,
        shared={"PROFILE": "smoke", "PRESET": "lite", "STEPS": 3, "SEEDS": 1},
        notebooks={
            "01": {"PICTURES": 1},
            "02": {"OVERFIT_STEPS": 3},
            "04": {"STEPS": 2, "SWEEP": [], "IMAGES": 4, "RARE_IMAGES": 2},
            "05": {"SIDE": 256, "IMAGES": 1},
            "07": {"SIDES": [200, 300, 400], "SLIDE": 480, "BLOCK": 120},
            "06": {"STEPS": 3, "TRAIN_IMAGES": 2, "IMAGES": 2},
            "08": {"STEPS": 3, "SHARES": [1.0], "SITES": 1},
        },
    ),
    # Each notebook's own defaults: what a reader who opens it in JupyterLab gets.
    "quick": Profile(
        about="a lesson on a laptop: no GPU, no download",
        limit_minutes=20,
        shared={"PROFILE": "quick"},
    ),
    "gpu": Profile(
        about="the paper's network at a short budget, on one GPU",
        limit_minutes=20,
        shared={
            "PROFILE": "gpu",
            "PRESET": "paper-r50",
            "STEPS": 400,
            "SEEDS": 3,
        },
        # Many short trainings: starting one (loader processes) takes about as long as its steps.
        notebooks={
            "03": {"STEPS": 150, "SEEDS": 2, "BATCH": 16, "PATCH": 128},
            "04": {
                "STEPS": 100,
                "LEARNING_RATE": 1e-3,
                "SWEEP": [0.1],
                "SEEDS": 1,
                "BATCH": 16,
                "PATCH": 128,
                "IMAGES": 48,
                "RARE_IMAGES": 6,
                "SIDE": 256,
            },
            "06": {
                "NETWORK": {},
                "STEPS": 100,
                "LEARNING_RATE": 1e-3,
                "SEEDS": 3,
                "BATCH": 16,
                "PATCH": 128,
                "TRAIN_IMAGES": 24,
                "IMAGES": 8,
            },
            "08": {"STEPS": 120},
        },
    ),
    "full": Profile(
        about="the paper's data, network and recipe; hours on one GPU or more",
        limit_minutes=24 * 60,
        shared={"PROFILE": "full", "PRESET": "paper-r50", "STEPS": 4000, "SEEDS": 3},
        notebooks={
            "02": PAPER | {"STEPS": PAPER_STEPS},
            # Several trainings each: the paper's recipe, fewer steps.
            "03": PAPER | {"STEPS": 20_000, "BATCH": 16, "PATCH": 512, "SEEDS": 1},
            "04": PAPER | {"SWEEP": [0.1, 0.5], "BATCH": 16, "PATCH": 512},
            "06": PAPER | {"NETWORK": {}, "STEPS": 20_000, "BATCH": 16, "PATCH": 512},
            "08": {"STEPS": 400},
        },
    ),
}


def parameters_for(profile: str, notebook: str) -> dict[str, Any]:
    """Return the values that a profile has for a notebook, whether it declares them or not.

    Parameters
    ----------
    profile : str
        A key of `PROFILES`.
    notebook : str
        The notebook's name; its first two characters are its number.

    Raises
    ------
    ValueError
        If there is no such profile.

    Examples
    --------
    >>> parameters_for("smoke", "02_model_building")["PROFILE"]
    'smoke'
    """
    if profile not in PROFILES:
        raise ValueError(f"no profile '{profile}': there are {', '.join(PROFILES)}")
    chosen = PROFILES[profile]
    return {**chosen.shared, **chosen.notebooks.get(notebook[:2], {})}
