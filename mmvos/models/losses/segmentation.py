"""Losses between probabilities and one-hot masks.

All take pred (B,C,H,W), probabilities that sum to 1 over channels (0 is background), and target of
the same shape, one-hot.
"""
from __future__ import annotations

import torch
from torch import Tensor, nn

from ...registry import MODELS

EPS = 1e-7  # of areas
# Far below what `aggregate_logits` gives: a pixel that is surely wrong must keep its gradient.
LEAST = 1e-30


def cross_entropy(pred: Tensor, target: Tensor, top_p: float = 1.) -> Tensor:
    """Mean of -log of the right channel's probability over the hardest share of the pixels.

    Args:
        pred: (B,C,H,W) probabilities.
        target: (B,C,H,W) one-hot.
        top_p: Share of each sample's pixels, those of the largest loss (bootstrapped cross entropy,
            0.4 for MUNet); 1 takes all.
    """
    check_pair(pred, target)
    losses = -(pred.clamp_min(LEAST).log() * target).sum(1).flatten(1)
    if top_p < 1:
        losses = losses.topk(max(1, int(top_p * losses.shape[1])), 1, sorted=False).values
    return losses.mean()


def mask_iou_loss(pred: Tensor, target: Tensor) -> Tensor:
    """1 - sum of minima / sum of maxima, mean over objects (MUNet, eq. 4, second term)."""
    check_pair(pred, target)
    pred, target = pred[:, 1:].flatten(2), target[:, 1:].flatten(2)
    inside, union = torch.minimum(pred, target).sum(2), torch.maximum(pred, target).sum(2)
    return (1 - (inside + EPS) / (union + EPS)).mean()


def soft_iou_loss(pred: Tensor, target: Tensor) -> Tensor:
    """1 - sum(p y) / sum(p + y - p y), mean over objects."""
    check_pair(pred, target)
    pred, target = pred[:, 1:].flatten(2), target[:, 1:].flatten(2)
    inside = (pred * target).sum(2)
    return (1 - (inside + EPS) / (pred.sum(2) + target.sum(2) - inside + EPS)).mean()


def dice_loss(pred: Tensor, target: Tensor) -> Tensor:
    """1 - (2 sum(p y) + 1) / (sum p + sum y + 1), mean over objects."""
    check_pair(pred, target)
    pred, target = pred[:, 1:].flatten(2), target[:, 1:].flatten(2)
    return (1 - (2 * (pred * target).sum(2) + 1) / (pred.sum(2) + target.sum(2) + 1)).mean()


def check_pair(pred: Tensor, target: Tensor) -> None:
    """Raise ValueError unless both are (B,C,H,W) of one shape with an object."""
    if pred.shape != target.shape or pred.ndim != 4 or pred.shape[1] < 2:
        raise ValueError('pred and target should have one shape (B,K+1,H,W), K >= 1, got '
                         f'{tuple(pred.shape)} and {tuple(target.shape)}')


@MODELS.register_module()
class CrossEntropy(nn.Module):
    """Module of `cross_entropy`."""

    example = dict(top_p=0.4)

    def __init__(self, top_p: float = 1.) -> None:
        super().__init__()
        if not 0 < top_p <= 1:
            raise ValueError(f'top_p should be a share, 0 < top_p <= 1, got {top_p}')
        self.top_p = top_p

    def forward(self, pred: Tensor, target: Tensor) -> Tensor:
        """Scalar loss."""
        return cross_entropy(pred, target, self.top_p)
