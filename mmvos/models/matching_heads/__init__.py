"""Matching heads."""
from .co_attention import (
    ChannelCoAttention,
    CoAttention,
    SymmetricCoAttention,
    VanillaCoAttention,
)
from .global_ import GlobalMatching
from .local import (
    EuclideanMatching,
    EuclideanMovedWindowMatching,
    LocalMatching,
    MovedWindowMatching,
)

__all__ = [
    'ChannelCoAttention', 'CoAttention', 'EuclideanMatching', 'EuclideanMovedWindowMatching',
    'GlobalMatching', 'LocalMatching', 'MovedWindowMatching', 'SymmetricCoAttention',
    'VanillaCoAttention'
]
