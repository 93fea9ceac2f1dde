"""Components of models; importing this registers them."""
from .backbones import RawColor, VOSResNet18
from .data_preprocessor import VOSDataPreprocessor
from .decode_heads import RefineDecoder
from .losses import ColorReconstructionLoss, CrossEntropy
from .matching_heads import GlobalMatching, LocalMatching
from .memory_managers import AdaptiveBank, FrameBank, FrameMemory, MemoryManager
from .motion_estimators import RAFT, DISFlow, MotionEstimator, ZeroFlow
from .segmentors import MAMP, STM, FlowPropagation, MUNet, VideoSegmentor, VOSSession

__all__ = [
    'MAMP', 'RAFT', 'STM', 'AdaptiveBank', 'ColorReconstructionLoss', 'CrossEntropy', 'DISFlow',
    'FlowPropagation', 'FrameBank', 'FrameMemory', 'GlobalMatching', 'LocalMatching', 'MUNet',
    'MemoryManager', 'MotionEstimator', 'RawColor', 'RefineDecoder', 'VOSDataPreprocessor',
    'VOSResNet18', 'VOSSession', 'VideoSegmentor', 'ZeroFlow'
]
