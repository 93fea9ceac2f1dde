"""Backbones that mmseg does not have."""
from .deeplab import DeepLabFeatures
from .raw_color import RawColor
from .vos_resnet import VOSResNet18

__all__ = [
    'DeepLabFeatures', 'RawColor', 'VOSResNet18'
]
