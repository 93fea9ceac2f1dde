"""Evaluation: pure functions in `functional`, MMEngine metrics in `metrics`.

The metrics are not imported here, so that `mmvos.evaluation.functional` needs no torch.
"""
from .functional import boundary_accuracy, mean_recall_decay, region_similarity, score_video

__all__ = ['boundary_accuracy', 'mean_recall_decay', 'region_similarity', 'score_video']
