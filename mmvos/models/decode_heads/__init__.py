"""Decode heads."""
from .refine import RefineDecoder

__all__ = ['RefineDecoder']
