"""Segmentation measures on NumPy arrays; imports neither torch nor mmengine."""
from .boundary import boundary_accuracy
from .frame import FrameScore, score_frame
from .painting import paint_slots
from .region import region_similarity
from .stability import temporal_stability
from .statistics import mean_recall_decay

__all__ = [
    'FrameScore', 'boundary_accuracy', 'mean_recall_decay', 'paint_slots', 'region_similarity',
    'score_frame', 'temporal_stability',
]
