"""Evaluation: measures in `functional`, what a benchmark counts in `protocols`, reports.

Nothing here imports torch or MMEngine; `metrics`, which puts it into test loops, does.
"""
from .folders import find_ground_truth, pair_folders
from .functional import (
    boundary_accuracy,
    mean_recall_decay,
    region_similarity,
    temporal_stability,
)
from .offline import evaluate_pairs
from .protocols import build_protocol
from .report import Report

__all__ = [
    'Report', 'boundary_accuracy', 'build_protocol', 'evaluate_pairs', 'find_ground_truth',
    'mean_recall_decay', 'pair_folders', 'region_similarity', 'temporal_stability',
]
