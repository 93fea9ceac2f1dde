"""Reconstruction of a colour channel."""
from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from ...registry import MODELS


def color_reconstruction_loss(pred: Tensor, target: Tensor, scale: float = 20.) -> Tensor:
    """Mean smooth-L1 (beta 1) of scale * pred against scale * target (MAMP eq. 3-4).

    The factor 20 is the released code's: it moves typical errors of a channel in [-1, 1] into the
    linear part.

    Args:
        pred: Any shape.
        target: Same shape.
        scale: Factor on both.
    """
    if pred.shape != target.shape:
        raise ValueError(f'pred and target should have one shape, got {tuple(pred.shape)} and '
                         f'{tuple(target.shape)}')
    return F.smooth_l1_loss(scale * pred, scale * target)


@MODELS.register_module()
class ColorReconstructionLoss(nn.Module):
    """Module of `color_reconstruction_loss`."""

    example = dict(scale=20.)

    def __init__(self, scale: float = 20.) -> None:
        super().__init__()
        self.scale = scale

    def forward(self, pred: Tensor, target: Tensor) -> Tensor:
        """Scalar loss."""
        return color_reconstruction_loss(pred, target, self.scale)
