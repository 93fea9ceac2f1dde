"""Components of models; importing this registers them."""
from .appearance_models import GaussianAppearance
from .backbones import RawColor, VOSResNet18
from .data_preprocessor import VOSDataPreprocessor
from .decode_heads import ObjectHeads, RefineDecoder
from .losses import ColorClassLoss, ColorReconstructionLoss, CrossEntropy
from .matching_heads import EuclideanMatching, GlobalMatching, LocalMatching, MovedWindowMatching
from .memory_managers import AdaptiveBank, FrameBank, FrameMemory, MemoryManager, UsageBank
from .motion_estimators import RAFT, DISFlow, MotionEstimator, ZeroFlow
from .postprocessors import DenseCRF
from .refiners import OnlineAdaptation, Refiner
from .segmentors import (
    AGAME,
    MAMP,
    MAST,
    RVOS,
    STM,
    STMA,
    CentrePrior,
    CorrFlow,
    COSNet,
    FlowPropagation,
    LabelPropagation,
    LargestMovingRegion,
    MomentumPropagation,
    MUNet,
    RVOSMask,
    SoftMAMP,
    TrackingMAMP,
    VideoColorization,
    VideoSegmentor,
    VOSSession,
)

__all__ = [
    'AGAME', 'MAMP', 'MAST', 'RAFT', 'RVOS', 'STM', 'STMA', 'AdaptiveBank', 'COSNet', 'CentrePrior',
    'ColorClassLoss', 'ColorReconstructionLoss', 'CorrFlow', 'CrossEntropy', 'DISFlow', 'DenseCRF',
    'EuclideanMatching', 'FlowPropagation', 'FrameBank', 'FrameMemory', 'GaussianAppearance',
    'GlobalMatching', 'LabelPropagation', 'LargestMovingRegion', 'LocalMatching', 'MUNet',
    'MemoryManager', 'MomentumPropagation', 'MotionEstimator', 'MovedWindowMatching', 'ObjectHeads',
    'OnlineAdaptation', 'RVOSMask', 'RawColor', 'RefineDecoder', 'Refiner', 'SoftMAMP',
    'TrackingMAMP', 'UsageBank', 'VOSDataPreprocessor', 'VOSResNet18', 'VOSSession',
    'VideoColorization', 'VideoSegmentor', 'ZeroFlow'
]
