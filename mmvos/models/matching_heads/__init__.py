"""Matching heads."""
from .global_ import GlobalMatching
from .local import LocalMatching

__all__ = ['GlobalMatching', 'LocalMatching']
