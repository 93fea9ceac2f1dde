"""Datasets; importing this registers them."""
from .base import VideoDataset
from .clip_dataset import AnimatedImageDataset, ClipDataset, ClipIndex, MemoryClipDataset
from .clip_mixture import ClipMixture
from .davis import DAVIS
from .masked_clips import MaskedClipDataset, StillClipDataset
from .samplers import ClipSampler
from .still_images import StillImages
from .synthetic import SyntheticVideo, SyntheticVOS
from .transforms import (
    ChooseObjects,
    ColorJitter,
    CropAroundObject,
    PackClip,
    PerFrame,
    RandomAffine,
    RandomCropClip,
    RandomFlipClip,
    RandomGray,
    RandomHomography,
    RandomThinPlate,
    ResizeClip,
)
from .video_folder import CachedVideo, VideoFolder
from .youtube_vos import YouTubeVOS

__all__ = [
    'AnimatedImageDataset', 'CachedVideo', 'ChooseObjects', 'ClipDataset', 'ClipIndex',
    'ClipMixture', 'ClipSampler', 'ColorJitter', 'CropAroundObject', 'DAVIS', 'MaskedClipDataset',
    'MemoryClipDataset', 'PackClip', 'PerFrame', 'RandomAffine', 'RandomCropClip', 'RandomFlipClip',
    'RandomGray', 'RandomHomography', 'RandomThinPlate', 'ResizeClip', 'StillClipDataset',
    'StillImages', 'SyntheticVideo', 'SyntheticVOS', 'VideoDataset', 'VideoFolder', 'YouTubeVOS',
]
