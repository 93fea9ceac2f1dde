"""Frames, states, samples and lazy videos."""
from .data_sample import VOSDataSample, true_masks
from .frame import Frame
from .label_maps import LabelMaps
from .masks import MaskArrays, MaskFiles, MaskSource
from .state import VideoState, grow_objects, place_objects
from .video import (
    Backwards,
    FrameFolder,
    VideoFile,
    VideoSource,
    open_video,
)

__all__ = [
    'Backwards', 'Frame', 'FrameFolder', 'LabelMaps', 'MaskArrays', 'MaskFiles', 'MaskSource',
    'VOSDataSample', 'VideoFile', 'VideoSource', 'VideoState', 'grow_objects', 'open_video',
    'place_objects', 'true_masks'
]
