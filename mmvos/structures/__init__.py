"""Frames, states, samples and lazy videos."""
from .data_sample import VOSDataSample
from .frame import Frame
from .state import VideoState, grow_objects, place_objects
from .video import (
    FrameFolder,
    MaskArrays,
    MaskFiles,
    MaskSource,
    VideoFile,
    VideoSource,
    open_video,
)

__all__ = [
    'Frame', 'FrameFolder', 'MaskArrays', 'MaskFiles', 'MaskSource', 'VOSDataSample', 'VideoFile',
    'VideoSource', 'VideoState', 'grow_objects', 'open_video', 'place_objects'
]
