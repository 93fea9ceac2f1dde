"""A complete third-party package for mmvos: masks carried by global colour matching."""
from .backbone import SmallConvNet
from .color_propagation import ColorPropagation
from .loss import SoftCrossEntropy
from .matching_head import CosineMatching
from .memory import DoublingBank
from .transform import BrightnessClip

__version__ = '0.1.0'
__all__ = [
    'BrightnessClip', 'ColorPropagation', 'CosineMatching', 'DoublingBank', 'SmallConvNet',
    'SoftCrossEntropy'
]
