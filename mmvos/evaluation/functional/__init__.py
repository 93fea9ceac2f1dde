"""Segmentation measures on NumPy arrays; imports neither torch nor mmengine."""
from .boundary import boundary_accuracy
from .frame import FrameScore, score_frame
from .region import region_similarity
from .stability import temporal_stability
from .statistics import mean_recall_decay

__all__ = [
    'FrameScore', 'boundary_accuracy', 'mean_recall_decay', 'region_similarity', 'score_frame',
    'temporal_stability',
]
