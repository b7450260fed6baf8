"""Public names of this room and where they come from, for editors and `lazy_loader`."""

from .main import app as app
from .main import main as main
