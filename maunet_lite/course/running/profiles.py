"""How big the course runs: `PROFILES`, read from ``profiles.yaml`` beside this file.

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

from pathlib import Path
from typing import Any, NamedTuple

import yaml


class Profile(NamedTuple):
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
    notebooks: dict[str, dict[str, Any]] = {}


_SIZES = yaml.safe_load(Path(__file__).with_suffix(".yaml").read_text(encoding="utf-8"))
PROFILES: dict[str, Profile] = {name: Profile(**size) for name, size in _SIZES.items()}


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
    return PROFILES[profile].shared | PROFILES[profile].notebooks.get(notebook[:2], {})
