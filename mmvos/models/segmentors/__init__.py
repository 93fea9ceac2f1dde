"""Methods: one file each, beside the base."""
from .agame import AGAME
from .base import VideoSegmentor, merge_given
from .flow_propagation import FlowPropagation
from .geometry import Geometry
from .label_propagation import LabelPropagation, drop_channel
from .mamp import MAMP
from .mast import MAST, ReleasedMAST
from .momentum import MomentumPropagation
from .munet import MUNet, MUNetAddition, MUNetWithoutUncertainty
from .session import VOSSession
from .stm import STM
from .supervised import SupervisedSegmentor
from .whole_video import segment_video

__all__ = [
    'AGAME', 'MAMP', 'MAST', 'STM', 'FlowPropagation', 'Geometry', 'LabelPropagation', 'MUNet',
    'MUNetAddition', 'MUNetWithoutUncertainty', 'MomentumPropagation', 'ReleasedMAST',
    'SupervisedSegmentor', 'VOSSession', 'VideoSegmentor', 'drop_channel', 'merge_given',
    'segment_video'
]
