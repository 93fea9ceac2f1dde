"""Matching heads."""
from .co_attention import (
    ChannelCoAttention,
    CoAttention,
    SymmetricCoAttention,
    VanillaCoAttention,
)
from .global_ import GlobalMatching
from .local import LocalMatching, MovedWindowMatching

__all__ = [
    'ChannelCoAttention', 'CoAttention', 'GlobalMatching', 'LocalMatching', 'MovedWindowMatching',
    'SymmetricCoAttention', 'VanillaCoAttention'
]
