"""Backbones that mmseg does not have."""
from .deeplab import DeepLabFeatures
from .raw_color import RawColor
from .stml import STML, ConvViTSTML, JointConvViTSTML, JointViTSTML, ViTSTML
from .vos_resnet import VOSResNet18

__all__ = [
    'STML', 'ConvViTSTML', 'DeepLabFeatures', 'JointConvViTSTML', 'JointViTSTML', 'RawColor',
    'VOSResNet18', 'ViTSTML'
]
