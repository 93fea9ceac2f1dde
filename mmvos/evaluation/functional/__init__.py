"""Segmentation measures on NumPy arrays; imports neither torch nor mmengine."""
from .boundary import boundary_accuracy
from .region import region_similarity
from .statistics import mean_recall_decay
from .video import score_video

__all__ = ['boundary_accuracy', 'mean_recall_decay', 'region_similarity', 'score_video']
