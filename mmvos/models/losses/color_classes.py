"""Colours as classes: the nearest of 16 points of the ab plane, and a loss on their distribution.

Video Colorization (Vondrick et al., ECCV 2018) clusters the colours of its training frames;
CorrFlow (Lai and Xie, BMVC 2019) released the 16 centroids that stand here.
"""
from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from ...ops import rgb_to_lab
from ...ops.backends import widened, without_autocast
from ...registry import MODELS

CENTROIDS = (  # (a, b) of CIE Lab
    (10.23, -25.50), (9.17, -5.48), (38.08, -55.18), (13.77, 29.93), (-22.91, 4.35), (0.37, -7.30),
    (-5.35, -13.47), (-9.10, 43.39), (2.85, -18.04), (-1.22, 21.68), (-7.97, -0.26), (33.96, 15.08),
    (22.35, -38.78), (5.73, 8.65), (54.30, -73.89), (0.19, 0.03))


def color_classes(image: Tensor) -> Tensor:
    """Number of the centroid that is nearest in the ab plane.

    Args:
        image: (...,3,H,W) RGB in [0,1].

    Returns:
        (...,H,W) int64, 0 to 15.
    """
    with without_autocast(image):  # the nearest of two that are nearly as near
        ab = rgb_to_lab(image.flatten(0, -4))[:, 1:] * 127
        centroids = ab.new_tensor(CENTROIDS)
        # |ab - c|^2 without |ab|^2, which is the same for all c
        distance = centroids.square().sum(1) - 2 * ab.movedim(1, -1) @ centroids.T
    return distance.argmin(-1).unflatten(0, image.shape[:-3])


def color_masks(image: Tensor) -> Tensor:
    """One-hot `color_classes`: (...,3,H,W) RGB in [0,1] -> (...,16,H,W)."""
    masks = F.one_hot(color_classes(image), len(CENTROIDS))
    return masks.movedim(-1, -3).to(image.dtype)


def color_class_loss(pred: Tensor, target: Tensor, floor: float = 1e-8) -> Tensor:
    """Mean of -log(probability of the true class + floor), as CorrFlow released it.

    Args:
        pred: (B,C,H,W) probabilities; their sum may be below 1.
        target: (B,C,H,W) one-hot.
        floor: What a class without any probability has.

    Raises:
        ValueError: The shapes differ.
    """
    if pred.shape != target.shape or pred.ndim != 4:
        raise ValueError('pred and target should have one shape (B,C,H,W), got '
                         f'{tuple(pred.shape)} and {tuple(target.shape)}')
    return -((widened(pred) + floor).log() * target).sum(1).mean()


@MODELS.register_module()
class ColorClassLoss(nn.Module):
    """Module of `color_class_loss`."""

    example = dict(floor=1e-8)

    def __init__(self, floor: float = 1e-8) -> None:
        super().__init__()
        if not floor > 0:
            raise ValueError(f'floor should be above 0 (1e-8 was released), got {floor}')
        self.floor = floor

    def forward(self, pred: Tensor, target: Tensor) -> Tensor:
        """Scalar loss."""
        return color_class_loss(pred, target, self.floor)
