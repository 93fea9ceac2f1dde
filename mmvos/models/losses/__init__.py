"""Losses."""
from .color_reconstruction import ColorReconstructionLoss, color_reconstruction_loss
from .segmentation import CrossEntropy, cross_entropy, dice_loss, mask_iou_loss, soft_iou_loss

__all__ = [
    'ColorReconstructionLoss', 'CrossEntropy', 'color_reconstruction_loss', 'cross_entropy',
    'dice_loss', 'mask_iou_loss', 'soft_iou_loss'
]
