"""The mask doctor: what is wrong with a folder of frames and masks, and a repaired copy of it."""

from .check import VideoReport, check_dataset, check_video, refuse_broken_start
from .findings import Finding
from .layouts import Layout, VideoFiles, find_layout
from .repaired_copy import check_output, write_repaired_copy

__all__ = [
    'Finding',
    'Layout',
    'VideoFiles',
    'VideoReport',
    'check_dataset',
    'check_output',
    'check_video',
    'find_layout',
    'refuse_broken_start',
    'write_repaired_copy',
]
