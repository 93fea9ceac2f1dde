"""Matching heads."""
from .global_ import GlobalMatching
from .local import LocalMatching, MovedWindowMatching

__all__ = ['GlobalMatching', 'LocalMatching', 'MovedWindowMatching']
