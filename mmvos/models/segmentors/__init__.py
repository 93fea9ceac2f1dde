"""Methods: one file each, beside the base."""
from .agame import AGAME
from .base import VideoSegmentor, merge_given
from .flow_propagation import FlowPropagation
from .geometry import Geometry
from .mamp import MAMP, drop_channel
from .munet import MUNet, MUNetAddition, MUNetWithoutUncertainty
from .session import VOSSession
from .stm import STM
from .supervised import SupervisedSegmentor

__all__ = [
    'AGAME', 'MAMP', 'STM', 'FlowPropagation', 'Geometry', 'MUNet', 'MUNetAddition',
    'MUNetWithoutUncertainty', 'SupervisedSegmentor', 'VOSSession', 'VideoSegmentor',
    'drop_channel', 'merge_given'
]
