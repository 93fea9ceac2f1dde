"""Datasets; importing this registers them."""
from .base import VideoDataset
from .clip_dataset import ClipDataset, ClipIndex
from .davis import DAVIS
from .masked_clips import MaskedClipDataset
from .samplers import ClipSampler
from .synthetic import SyntheticVideo, SyntheticVOS
from .transforms import ChooseObjects, PackClip, RandomCropClip, RandomFlipClip, ResizeClip
from .video_folder import CachedVideo, VideoFolder
from .youtube_vos import YouTubeVOS

__all__ = [
    'DAVIS', 'CachedVideo', 'ChooseObjects', 'ClipDataset', 'ClipIndex', 'ClipSampler',
    'MaskedClipDataset', 'PackClip', 'RandomCropClip', 'RandomFlipClip', 'ResizeClip',
    'SyntheticVOS', 'SyntheticVideo', 'VideoDataset', 'VideoFolder', 'YouTubeVOS'
]
