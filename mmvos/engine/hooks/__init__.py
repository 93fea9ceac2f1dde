"""Hooks."""
from .frame_progress import FrameProgressHook, frame_progress
from .mask_writer import MaskWriterHook
from .rng_state import RNGStateHook

__all__ = ['FrameProgressHook', 'MaskWriterHook', 'RNGStateHook', 'frame_progress']
