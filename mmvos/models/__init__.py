"""Components of models; importing this registers them."""
from .backbones import RawColor, VOSResNet18
from .data_preprocessor import VOSDataPreprocessor
from .losses import ColorReconstructionLoss
from .matching_heads import LocalMatching
from .memory_managers import FrameBank, MemoryManager
from .motion_estimators import RAFT, DISFlow, MotionEstimator, ZeroFlow
from .segmentors import MAMP, FlowPropagation, VideoSegmentor, VOSSession

__all__ = [
    'MAMP', 'RAFT', 'ColorReconstructionLoss', 'DISFlow', 'FlowPropagation', 'FrameBank',
    'LocalMatching', 'MemoryManager', 'MotionEstimator', 'RawColor', 'VOSDataPreprocessor',
    'VOSResNet18', 'VOSSession', 'VideoSegmentor', 'ZeroFlow'
]
