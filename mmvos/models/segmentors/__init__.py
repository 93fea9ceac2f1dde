"""Methods: one file each, beside the base."""
from .agame import AGAME
from .base import VideoSegmentor, merge_given
from .corrflow import CorrFlow, drop_rgb
from .cosnet import COSNet, COSNetAlone, COSNetGroup, COSNetPredictions
from .flow_propagation import FlowPropagation
from .geometry import Geometry
from .label_propagation import LabelPropagation, drop_channel
from .mamp import MAMP, SoftMAMP, TrackingMAMP
from .mast import MAST, ReleasedMAST
from .momentum import MomentumPropagation
from .munet import MUNet, MUNetAddition, MUNetWithoutUncertainty
from .rvos import RVOS, RVOSMask
from .session import VOSSession
from .stm import STM
from .stma import STMA, STMAWithoutFrames, STMAWithoutIdentities, STMAWithoutObjects
from .supervised import SupervisedSegmentor
from .video_colorization import VideoColorization
from .whole_video import segment_video
from .zero_shot_baselines import CentrePrior, LargestMovingRegion

__all__ = [
    'AGAME', 'MAMP', 'MAST', 'RVOS', 'STM', 'STMA', 'COSNet', 'COSNetAlone', 'COSNetGroup',
    'COSNetPredictions', 'CentrePrior', 'CorrFlow', 'FlowPropagation', 'Geometry',
    'LabelPropagation', 'LargestMovingRegion', 'MUNet', 'MUNetAddition', 'MUNetWithoutUncertainty',
    'MomentumPropagation', 'RVOSMask', 'ReleasedMAST', 'STMAWithoutFrames', 'STMAWithoutIdentities',
    'STMAWithoutObjects', 'SoftMAMP', 'SupervisedSegmentor', 'TrackingMAMP', 'VOSSession',
    'VideoColorization', 'VideoSegmentor', 'drop_channel', 'drop_rgb', 'merge_given',
    'segment_video'
]
