"""Transforms."""
from .clip import ChooseObjects, PackClip, RandomCropClip, RandomFlipClip, ResizeClip

__all__ = ['ChooseObjects', 'PackClip', 'RandomCropClip', 'RandomFlipClip', 'ResizeClip']
