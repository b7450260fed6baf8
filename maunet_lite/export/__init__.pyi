"""Public names of this room and where they come from, for editors and `lazy_loader`."""

from .files import FORMATS as FORMATS
from .files import export as export
from .files import parse_formats as parse_formats
from .files import write_maps as write_maps
from .measure import measure_cells as measure_cells
from .models.formats import MODEL_FORMATS as MODEL_FORMATS
from .models.formats import export_model as export_model
from .models.run import onnx_segment as onnx_segment
from .models.writers import ExportedMaps as ExportedMaps
from .ome_zarr import SMALLEST as SMALLEST
from .ome_zarr import add_level as add_level
from .ome_zarr import describe_levels as describe_levels
from .polygons import Polygon as Polygon
from .polygons import fill as fill
from .records import for_html as for_html
from .records import for_link as for_link
from .records import for_spreadsheet as for_spreadsheet
from .records import for_terminal as for_terminal
from .records import from_spreadsheet as from_spreadsheet
from .records import write_table as write_table
