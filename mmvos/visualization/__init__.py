"""Pictures of results: label maps and maps of motion over frames, contact sheets."""

from .contact_sheet import contact_sheet, evenly_spaced
from .maps import flow_colours, grey_levels, map_overlay, map_picture
from .overlay import label_colours, overlay

__all__ = [
    'contact_sheet',
    'evenly_spaced',
    'flow_colours',
    'grey_levels',
    'label_colours',
    'map_overlay',
    'map_picture',
    'overlay',
]
