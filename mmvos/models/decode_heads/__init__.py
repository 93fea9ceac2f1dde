"""Decode heads."""
from .conv_lstm import ConvLSTMCell, RecurrentDecoder
from .object_heads import ObjectHeads
from .refine import RefineDecoder

__all__ = ['ConvLSTMCell', 'ObjectHeads', 'RecurrentDecoder', 'RefineDecoder']
