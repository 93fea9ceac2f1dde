"""Transforms."""
from .clip import PackClip, RandomCropClip, RandomFlipClip, ResizeClip

__all__ = ['PackClip', 'RandomCropClip', 'RandomFlipClip', 'ResizeClip']
