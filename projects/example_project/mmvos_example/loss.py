"""A loss: pure function and thin module."""
from __future__ import annotations

from mmengine.model import BaseModule
from torch import Tensor

from .registry import MODELS


def soft_cross_entropy(pred: Tensor, target: Tensor, eps: float = 1e-4) -> Tensor:
    """Mean over the cells of -sum_c target_c log(pred_c + eps).

    Args:
        pred: (B,C,h,w) probabilities.
        target: (B,C,h,w) probabilities.
        eps: Keeps the logarithm finite.
    """
    return -(target * (pred + eps).log()).sum(1).mean()


@MODELS.register_module()
class SoftCrossEntropy(BaseModule):
    """Module of `soft_cross_entropy`."""

    example: dict = {}

    def forward(self, pred: Tensor, target: Tensor) -> Tensor:
        """Scalar loss."""
        return soft_cross_entropy(pred, target)
