"""From sources to the notebooks that stand in the repository, and to a website."""

from importlib.util import find_spec

_NEEDED = ("ipykernel", "jinja2", "jupytext", "nbconvert", "nbformat", "papermill")
if _absent := [name for name in _NEEDED if find_spec(name) is None]:
    lacks = ", ".join(_absent)
    raise ImportError(f'the course needs Jupyter: pip install -e ".[course]" (missing: {lacks})')
