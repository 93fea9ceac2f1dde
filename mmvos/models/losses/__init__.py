"""Losses."""
from .color_classes import ColorClassLoss, color_class_loss, color_classes, color_masks
from .color_reconstruction import ColorReconstructionLoss, color_reconstruction_loss
from .segmentation import (
    BalancedBCE,
    CrossEntropy,
    DiceLoss,
    L1Loss,
    LossSum,
    MaskIoULoss,
    SoftIoULoss,
    balanced_bce,
    cross_entropy,
    dice_loss,
    l1_loss,
    mask_iou_loss,
    soft_iou_loss,
)
from .set_matching import SetMatcher, pairwise_soft_iou, soft_iou, soft_iou_of_slots

__all__ = [
    'BalancedBCE', 'ColorClassLoss', 'ColorReconstructionLoss', 'CrossEntropy', 'DiceLoss',
    'L1Loss', 'LossSum', 'MaskIoULoss', 'SetMatcher', 'SoftIoULoss', 'balanced_bce',
    'color_class_loss', 'color_classes', 'color_masks', 'color_reconstruction_loss',
    'cross_entropy', 'dice_loss', 'l1_loss', 'mask_iou_loss', 'pairwise_soft_iou', 'soft_iou',
    'soft_iou_loss', 'soft_iou_of_slots'
]
