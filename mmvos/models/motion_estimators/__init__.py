"""Motion estimators."""
from .base import MotionEstimator
from .dis import DISFlow
from .raft import RAFT
from .zero import ZeroFlow

__all__ = ['RAFT', 'DISFlow', 'MotionEstimator', 'ZeroFlow']
