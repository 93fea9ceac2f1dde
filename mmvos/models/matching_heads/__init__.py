"""Matching heads."""
from .local import LocalMatching

__all__ = ['LocalMatching']
