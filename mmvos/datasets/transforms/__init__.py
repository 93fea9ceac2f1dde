"""Transforms."""
from .augment import (
    ColorJitter,
    PerFrame,
    RandomAffine,
    RandomGray,
    RandomHomography,
    RandomThinPlate,
)
from .clip import (
    ChooseObjects,
    CropAroundObject,
    PackClip,
    RandomCropClip,
    RandomFlipClip,
    ResizeClip,
)

__all__ = ['ChooseObjects', 'ColorJitter', 'CropAroundObject', 'PackClip', 'PerFrame',
           'RandomAffine', 'RandomCropClip', 'RandomFlipClip', 'RandomGray', 'RandomHomography',
           'RandomThinPlate', 'ResizeClip']
