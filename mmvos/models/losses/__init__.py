"""Losses."""
from .color_reconstruction import ColorReconstructionLoss, color_reconstruction_loss

__all__ = ['ColorReconstructionLoss', 'color_reconstruction_loss']
