"""Pictures of results: label maps over frames, contact sheets."""

from .contact_sheet import contact_sheet, evenly_spaced
from .overlay import label_colours, overlay

__all__ = ['contact_sheet', 'evenly_spaced', 'label_colours', 'overlay']
