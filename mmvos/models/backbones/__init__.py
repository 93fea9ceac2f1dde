"""Backbones that mmseg does not have."""
from .raw_color import RawColor
from .vos_resnet import VOSResNet18

__all__ = ['RawColor', 'VOSResNet18']
