"""Methods: one file each, beside the base."""
from .agame import AGAME
from .base import VideoSegmentor, merge_given
from .corrflow import CorrFlow, drop_rgb
from .flow_propagation import FlowPropagation
from .geometry import Geometry
from .label_propagation import LabelPropagation, drop_channel
from .mamp import MAMP
from .mast import MAST, ReleasedMAST
from .munet import MUNet, MUNetAddition, MUNetWithoutUncertainty
from .session import VOSSession
from .stm import STM
from .supervised import SupervisedSegmentor
from .video_colorization import VideoColorization

__all__ = [
    'AGAME', 'CorrFlow', 'MAMP', 'MAST', 'STM', 'FlowPropagation', 'Geometry',
    'LabelPropagation', 'MUNet', 'MUNetAddition', 'MUNetWithoutUncertainty', 'ReleasedMAST',
    'SupervisedSegmentor', 'VOSSession', 'VideoColorization', 'VideoSegmentor', 'drop_channel',
    'drop_rgb', 'merge_given'
]
