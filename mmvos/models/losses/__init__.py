"""Losses."""
from .color_classes import ColorClassLoss, color_class_loss, color_classes, color_masks
from .color_reconstruction import ColorReconstructionLoss, color_reconstruction_loss
from .segmentation import (
    CrossEntropy,
    DiceLoss,
    L1Loss,
    LossSum,
    MaskIoULoss,
    SoftIoULoss,
    cross_entropy,
    dice_loss,
    l1_loss,
    mask_iou_loss,
    soft_iou_loss,
)

__all__ = [
    'ColorClassLoss', 'ColorReconstructionLoss', 'CrossEntropy', 'DiceLoss', 'L1Loss',
    'LossSum', 'MaskIoULoss', 'SoftIoULoss', 'color_class_loss', 'color_classes', 'color_masks',
    'color_reconstruction_loss', 'cross_entropy', 'dice_loss', 'l1_loss', 'mask_iou_loss',
    'soft_iou_loss'
]
